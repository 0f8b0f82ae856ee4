"""Reading another process's memory in bulk, and leaving it as it is (process_vm_readv(2), proc_pid_mem(5)).

`process_vm_readv` is the quicker way, by a third where pages are together and by half where they are apart.
But it pins pages, and since Linux 5.19 (commit a7f226604170) pinning a page that is shared copy-on-write, or
merged by KSM, gives the process a copy of its own: a tree that shares its memory ends up with as many
copies as it has processes. Reading `/proc/PID/mem` pins nothing. Neither may meet a page that is not there:
it would be brought into being.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import os
from typing import Final

import numpy as np

from engine.errors import from_os_error, kernel_errors
from engine.kernel.exclusive_pages import (
    find_exclusive,
    find_there,
    is_worth_finding,
    require_alive,
)
from engine.kernel.libc import libc
from engine.kernel.pagemap import Pagemap
from engine.kernel.process import task_with_memory
from engine.kernel.relatives import Relatives, Sharers
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, Int64Array, PageSet

MOST_RANGES: Final = 1024
"""Ranges that one `process_vm_readv` takes (IOV_MAX)."""


class PageBuffer:
    """Page-aligned memory to copy into, mapped in at once: copying does not fault."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        populate = getattr(mmap, "MAP_POPULATE", 0)
        self._map = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | populate)
        self._look_again()

    def resize(self, size_bytes: int) -> None:
        """Make it larger or smaller. What it holds stays; only what is added is mapped in.

        Raises:
            BufferError: a piece of `view` is still in use.
            OSError: the system has no such memory; the buffer is as it was.
        """
        before = self.size_bytes
        self.view.release()
        try:
            try:
                self._map.resize(size_bytes)
            except BufferError:
                gc.collect()  # the frame of an error that was dealt with may be garbage, and hold a piece
                self._map.resize(size_bytes)
            self.size_bytes = size_bytes
        finally:
            self._look_again()
        if size_bytes > before:
            self.view[before:size_bytes:PAGE_SIZE] = bytes(len(range(before, size_bytes, PAGE_SIZE)))

    def _look_again(self) -> None:
        self.view = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))


class TargetMemory:
    """The memory of one process, read page by page range; nothing of it changes by that.

    What is in swap is brought in, for there is no other way.

    | its pages are | nobody else's | perhaps others' | others' too |
    | --- | --- | --- | --- |
    | it is stopped | pinned | pinned if exclusive | pinned if exclusive |
    | it runs, and may fork at any moment | pinned | pinned if exclusive | read from `mem` |

    Should a process that runs fork for the first time in the very moment in which some pages are read, those
    may be copied by the kernel (that befell two of 40 forks into a loop of reads of 4 MiB); from the next
    read on it is known to have relatives.
    """

    def __init__(self, pid: int, relatives: Relatives, *, is_stopped: bool) -> None:
        """Open it.

        Args:
            pid: whose.
            relatives: tells whether others may have its pages too. Looked at before it was stopped, if it is.
            is_stopped: whether all its threads are, until the last read; and whether what is asked for was
                seen to be there since.

        Raises:
            TargetGone, NotPermitted: it is not there, or not ours to read.
        """
        self.pid = pid
        self.always_there = EMPTY
        """Pages to be read even where none is mapped in yet: the kernel's own code (`[vdso]`)."""
        self._relatives = relatives
        self._is_stopped = is_stopped
        self._sharers: Sharers | None = None
        self._pagemap = Pagemap(pid)
        try:
            with kernel_errors(pid, "open its memory"):
                self._task = task_with_memory(pid)
                self._descriptor = os.open(f"/proc/{self._task}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            self._pagemap.close()
            raise

    def close(self) -> None:
        """Give the descriptors back; may be called twice."""
        self._pagemap.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, pages: PageSet, buffer: PageBuffer, offset: int = 0) -> PageSet:
        """Copy pages, ascending and without gaps, to `buffer` from byte `offset` on.

        Mappings without read permission are read as well, as a debugger does.

        Args:
            pages: at most `MOST_RANGES` ranges; `size_bytes` must fit behind `offset`.
            buffer: where to.
            offset: where in it, bytes.

        Returns:
            The pages that were there and could be read; their data stands at `offset`, packed.

        Raises:
            TargetGone: the process has exited.
            NotPermitted: it is no longer ours to read.
        """
        if not pages:
            return EMPTY
        pinned, gentle = self._ways(pages)
        layout = pinned | gentle
        gone = EMPTY
        if self._is_stopped and layout is not pages:
            # It has been seen to be there, and the process can have given it up only before (MADV_FREE).
            gone, layout = pages - layout, pages
        gentle |= self._copy_pinned(pinned, layout, buffer.address + offset)
        if not gentle and not gone:
            return layout
        # Given back here, even if an error keeps this frame: the buffer could not be resized otherwise.
        with buffer.view[offset : offset + layout.size_bytes] as view:
            for begin, length in _places(gone, layout):
                view[begin : begin + length] = bytes(length)
            lost = self._copy_gently(gentle, layout, view)
            if lost:
                layout = _close_up(view, layout, layout - lost)
        return layout

    def _ways(self, pages: PageSet) -> tuple[PageSet, PageSet]:
        """Which pages to pin, and which not to; in neither is what is not there."""
        if self._is_stopped:
            return self._ways_while_stopped(pages)
        there = find_there(self._pagemap, pages)
        # Told last: to find what is there has waited for a fork under way, which takes long.
        match self._relatives.sharers(self.pid, is_stopped=False):
            case Sharers.NONE:
                exclusive = there
            case Sharers.SOME:
                exclusive = EMPTY
            case Sharers.UNKNOWN:
                exclusive = find_exclusive(self._pagemap, there).exclusive
        return self._with_rest(exclusive, there, pages)

    def _ways_while_stopped(self, pages: PageSet) -> tuple[PageSet, PageSet]:
        if self._sharers is None:  # nobody can become one while it is stopped
            self._sharers = self._relatives.sharers(self.pid, is_stopped=True)
        if self._sharers is Sharers.NONE:
            return pages, EMPTY
        if not is_worth_finding(pages):
            return self._with_rest(EMPTY, find_there(self._pagemap, pages), pages)
        there, exclusive = find_exclusive(self._pagemap, pages)
        return self._with_rest(exclusive, there, pages)

    def _with_rest(self, exclusive: PageSet, there: PageSet, pages: PageSet) -> tuple[PageSet, PageSet]:
        gentle = EMPTY if exclusive is there else there - exclusive
        if there is not pages:
            gentle |= self.always_there & (pages - there)
        return exclusive, gentle

    def _copy_pinned(self, pages: PageSet, layout: PageSet, address: int) -> PageSet:
        """Copy by `process_vm_readv` to where `layout` has them. Returns what is not readable this way."""
        if not pages:
            return EMPTY
        # Taken apart from others they may be in more pieces than one call takes.
        fits = pages.range_count <= MOST_RANGES
        for piece in (pages,) if fits else pages.chunks(pages.count, MOST_RANGES):
            got = self._read_vector(piece, layout, address) >> PAGE_SHIFT
            if got < piece.count:
                rest = pages.clip(int(piece.starts[0]), int(pages.ends[-1]))
                return rest - next(piece.chunks(got)) if got else rest
        return EMPTY

    def _read_vector(self, pages: PageSet, layout: PageSet, address: int) -> int:
        """As much as can be read from the first page on, in one system call; how many bytes came."""
        lengths = pages.ends - pages.starts
        remote = _vectors(pages.starts, lengths)
        if pages is layout:
            local = np.array([[address, pages.size_bytes]])
        else:
            local = _vectors(layout.count_below(pages.starts), lengths)
            local[:, 0] += address
        got = libc.process_vm_readv(
            self._task, local.ctypes.data, len(local), remote.ctypes.data, len(remote), 0
        )
        if got >= 0:
            return int(got)
        error = ctypes.get_errno()
        if error in (errno.EFAULT, errno.EPERM, errno.ENOSYS, errno.ESRCH):
            return 0  # something in it is not readable this way, or the thread that stood for it has ended
        failure = OSError(error, os.strerror(error))
        raise from_os_error(failure, self.pid, "read its memory")

    def _copy_gently(self, pages: PageSet, layout: PageSet, view: memoryview) -> PageSet:
        """Copy range by range through `mem` to where `layout` has them. Returns what cannot be read."""
        lost: list[int] = []
        for (first, end), (at, _) in zip(pages.ranges(), _places(pages, layout), strict=True):
            page = first
            while page < end:
                begin, length = at + ((page - first) << PAGE_SHIFT), (end - page) << PAGE_SHIFT
                with view[begin : begin + length] as piece:
                    whole = self._read_piece(piece, page) >> PAGE_SHIFT
                if not whole:
                    lost.append(page)  # unmapped meanwhile, or a page that nobody may read
                page += whole or 1
        if not lost:
            return EMPTY
        require_alive(self.pid)
        return PageSet.from_pages(lost)

    def _read_piece(self, view: memoryview, page: int) -> int:
        try:
            return os.preadv(self._descriptor, [view], page << PAGE_SHIFT)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EFAULT):
                return 0
            raise from_os_error(error, self.pid, "read its memory") from error


def _vectors(starts: Int64Array, lengths: Int64Array) -> Int64Array:
    """`struct iovec` of each, of numbers of pages."""
    made = np.empty((len(starts), 2), np.int64)
    made[:, 0] = starts
    made[:, 1] = lengths
    made <<= PAGE_SHIFT
    return made


def _places(pages: PageSet, layout: PageSet) -> list[tuple[int, int]]:
    """Where the data of each range is in that of `layout`, and its length; bytes."""
    begins = layout.count_below(pages.starts) << PAGE_SHIFT
    lengths = (pages.ends - pages.starts) << PAGE_SHIFT
    return list(zip(begins.tolist(), lengths.tolist(), strict=True))


def _close_up(view: memoryview, layout: PageSet, kept: PageSet) -> PageSet:
    """Move together what is kept of the data that stands as `layout` has it; returns `kept`."""
    to = 0
    for begin, length in _places(kept, layout):
        view[to : to + length] = view[begin : begin + length]
        to += length
    return kept
