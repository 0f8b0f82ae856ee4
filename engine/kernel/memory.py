"""Reading another process's memory in bulk (process_vm_readv(2), proc_pid_mem(5))."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Final

import numpy as np

from engine.errors import from_os_error, kernel_errors
from engine.kernel.libc import libc
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet

MOST_RANGES: Final = 1024
"""Ranges that one `process_vm_readv` takes (IOV_MAX)."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class PageBuffer:
    """Page-aligned memory to copy into, mapped in at once so that copying does not fault."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        populate = getattr(mmap, "MAP_POPULATE", 0)
        self._map = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | populate)
        self._look_again()

    def resize(self, size_bytes: int) -> None:
        """Make it larger or smaller. What it holds stays; only what is added is mapped in.

        Raises:
            BufferError: a piece of `view` is still held by somebody.
            OSError: the system has no such memory; the buffer is as it was.
        """
        before = self.size_bytes
        self.view.release()
        try:
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
    """The memory of one process, read page by page range."""

    def __init__(self, pid: int) -> None:
        """Open it.

        Raises:
            TargetGone, NotPermitted: it is not there, or not ours to read.
        """
        self.pid = pid
        with kernel_errors(pid, "open its memory"):
            self._descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
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
        wanted = pages.size_bytes
        got = self._read_vector(pages, buffer.address + offset, wanted)
        if got == wanted:
            return pages
        return self._read_one_by_one(pages, buffer.view[offset : offset + wanted])

    def _read_vector(self, pages: PageSet, address: int, wanted: int) -> int:
        """Everything in one system call; how many bytes came."""
        remote = np.empty((pages.range_count, 2), np.uint64)
        remote[:, 0] = pages.starts.astype(np.uint64) << np.uint64(PAGE_SHIFT)
        remote[:, 1] = (pages.ends - pages.starts).astype(np.uint64) << np.uint64(PAGE_SHIFT)
        local = _Vector(address, wanted)
        got = libc.process_vm_readv(
            self.pid, ctypes.addressof(local), 1, remote.ctypes.data, pages.range_count, 0
        )
        if got >= 0:
            return int(got)
        error = ctypes.get_errno()
        if error in (errno.EFAULT, errno.EPERM, errno.ENOSYS):
            return 0  # something in it is not readable this way
        failure = OSError(error, os.strerror(error))
        raise from_os_error(failure, self.pid, "read its memory")

    def _read_one_by_one(self, pages: PageSet, view: memoryview) -> PageSet:
        """Range by range through `mem`; what cannot be read is left out."""
        read: list[tuple[int, int]] = []
        at = 0
        for first, end in pages.ranges():
            page = first
            while page < end:
                length = (end - page) << PAGE_SHIFT
                try:
                    got = os.preadv(self._descriptor, [view[at : at + length]], page << PAGE_SHIFT)
                except OSError as error:
                    if error.errno not in (errno.EIO, errno.EFAULT):
                        raise from_os_error(error, self.pid, "read its memory") from error
                    got = 0
                whole = got >> PAGE_SHIFT
                if whole:
                    read.append((page, page + whole))
                    at += whole << PAGE_SHIFT
                    page += whole
                else:
                    page += 1  # unmapped meanwhile, or a page that nobody may read
        return PageSet.from_ranges(read)
