"""Which pages are present, written or soft-dirty: `/proc/PID/pagemap`
(Documentation/admin-guide/mm/pagemap.rst).

Since Linux 6.7 (commit 52526ca7fdb9) the `PAGEMAP_SCAN` ioctl answers for a whole address space at
a cost that follows what is mapped in. Older kernels have the plain file, eight bytes a page,
holes included.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import from_os_error, kernel_errors
from engine.kernel.libc import ioctl
from engine.kernel.process import memory_file
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, Int64Array, PageSet


class Category(IntFlag):
    """What `PAGEMAP_SCAN` tells of a page (include/uapi/linux/fs.h)."""

    WP_ALLOWED = 1 << 0
    """Its mapping is registered with an asynchronous userfaultfd."""
    WRITTEN = 1 << 1
    """Not write-protected; true of holes and of what was never registered too."""
    FILE = 1 << 2
    PRESENT = 1 << 3
    SWAPPED = 1 << 4
    ZERO = 1 << 5
    """The shared zero page."""
    HUGE = 1 << 6
    SOFT_DIRTY = 1 << 7
    GUARD = 1 << 8
    """A guard region (madvise(2), MADV_GUARD_INSTALL): nothing is there, and it reads as SWAPPED (6.15)."""
    NOT_EXCLUSIVE = 1 << 32
    """Told by the plain file alone, and only where we may not know frame numbers: present, and mapped
    elsewhere too, or the shared zero page."""


NOTHING: Final = Category(0)
IN_USE: Final = Category.PRESENT | Category.SWAPPED

PAGEMAP_SCAN: Final = 0xC0606610
"""The ioctl's number."""
_WRITE_PROTECT_MATCHING: Final = 1
_VECTOR_LENGTH: Final = 1 << 15


class ScanArgument(ctypes.Structure):
    """`struct pm_scan_arg`; `inverted` are those categories of `mask` that a page must not have."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "size",
            "flags",
            "start",
            "end",
            "walk_end",
            "vector",
            "vector_length",
            "max_pages",
            "inverted",
            "mask",
            "any_of",
            "returned",
        )
    )


@dataclass(frozen=True, slots=True)
class Regions:
    """Stretches of pages with equal categories, ascending; page numbers, shape (n,) each."""

    starts: Int64Array
    ends: Int64Array
    categories: NDArray[np.uint64]

    def pages(self, with_all: Category = NOTHING, without: Category = NOTHING) -> PageSet:
        """The pages that have all of one set of categories and none of another."""
        if not with_all and not without:
            return PageSet(self.starts, self.ends)
        chosen = (self.categories & np.uint64(with_all | without)) == np.uint64(with_all)
        return PageSet(self.starts[chosen], self.ends[chosen])


class Pagemap:
    """The open pagemap of one process. It stays that of the memory it was opened on: after `execve`
    or exit the old memory reads as empty.
    """

    def __init__(self, pid: int) -> None:
        """Open it.

        Raises:
            TargetGone: the process has exited.
            NotPermitted: it is not ours to read.
        """
        self.pid = pid
        with kernel_errors(pid, "open its pagemap"):
            self._descriptor = os.open(memory_file(pid, "pagemap"), os.O_RDONLY | os.O_CLOEXEC)
        self._vector = np.empty((_VECTOR_LENGTH, 3), dtype=np.uint64)
        self._vector_address = self._vector.ctypes.data

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close it."""
        self.close()

    def scan(
        self,
        first: int,
        end: int,
        *,
        all_of: Category = NOTHING,
        none_of: Category = NOTHING,
        any_of: Category = IN_USE,
        returned: Category = NOTHING,
        write_protect: bool = False,
    ) -> Regions:
        """Find the pages that match, and protect them again in the same step if asked to.

        Args:
            first: first page number to look at.
            end: page number after the last.
            all_of: categories a page must have.
            none_of: categories it must not have.
            any_of: categories of which it must have one. It must not be empty when protecting:
                a hole counts as written, and protecting holes fills the target with page tables.
            returned: categories to tell apart in the result.
            write_protect: protect what matches, atomically for each page; mappings that are not
                registered are then skipped in silence.

        Raises:
            TargetGone: the process has exited.
            OSError: ENOTTY where the kernel has no such ioctl, EINVAL where it does not know a category.
        """
        if write_protect and not any_of & IN_USE:
            raise ValueError("protecting without PRESENT or SWAPPED would fill every hole with markers")
        pieces: list[NDArray[np.uint64]] = []
        at, stop = first << PAGE_SHIFT, end << PAGE_SHIFT
        while at < stop:
            argument = ScanArgument(
                size=ctypes.sizeof(ScanArgument),
                flags=_WRITE_PROTECT_MATCHING if write_protect else 0,
                start=at,
                end=stop,
                vector=self._vector_address,
                vector_length=_VECTOR_LENGTH,
                inverted=none_of,
                mask=all_of | none_of,
                any_of=any_of,
                returned=returned,
            )
            try:
                filled = ioctl(self._descriptor, PAGEMAP_SCAN, argument)
            except ProcessLookupError as error:
                raise from_os_error(error, self.pid, "scan its pages") from error
            if filled:
                pieces.append(self._vector[:filled].copy())
            # Only a full vector ends a walk early. Where it was filled in several parts inside the
            # kernel, `walk_end` stays at the end of the last but one although all has been walked.
            if filled < _VECTOR_LENGTH:
                break
            at = argument.walk_end
        found = np.concatenate(pieces) if pieces else np.empty((0, 3), np.uint64)
        return Regions(
            (found[:, 0] >> np.uint64(PAGE_SHIFT)).astype(np.int64),
            (found[:, 1] >> np.uint64(PAGE_SHIFT)).astype(np.int64),
            found[:, 2],
        )

    def read(self, ranges: Iterable[tuple[int, int]], zero_frame: int = 0) -> Regions:
        """The same from the plain file, for kernels without the ioctl.

        Costs eight bytes for each page of the ranges, resident or not: give only ranges that hold
        something. Tells PRESENT, SWAPPED, FILE and SOFT_DIRTY, and ZERO where `zero_frame` is the
        frame number of the shared zero page (`find_zero_frame`); where that is 0, NOT_EXCLUSIVE.

        Raises:
            TargetGone: the process has exited.
        """
        return self.snapshot(ranges).regions(zero_frame)

    def snapshot(self, ranges: Iterable[tuple[int, int]]) -> Snapshot:
        """Read these page ranges from the plain file, to be understood later. Errors as of `read`."""
        pieces: list[tuple[int, NDArray[np.uint64]]] = []
        for first, end in ranges:
            for low in range(first, end, _READ_PAGES):
                entries = self.entries(low, min(end, low + _READ_PAGES))
                if len(entries) == 0:
                    break
                pieces.append((low, entries))
        return Snapshot(pieces)

    def are_soft_dirty(self, pages: Iterable[int]) -> list[bool]:
        """Whether each of a few pages is in use and soft-dirty, one small read each. Raises TargetGone."""
        try:
            entries = [os.pread(self._descriptor, 8, page * 8) for page in pages]
        except OSError as error:
            raise from_os_error(error, self.pid, "read its pagemap") from error
        bits = [int.from_bytes(entry, "little") >> _SOFT_DIRTY_BIT for entry in entries]
        return [bool(each & 1 and each >> (_SWAPPED_BIT - _SOFT_DIRTY_BIT)) for each in bits]

    def frames(self, pages: Iterable[int]) -> list[int]:
        """The page frame that stands for each of a few pages, one small read each. Raises TargetGone.

        0 where the page is not present, or we may not know: frame numbers need CAP_SYS_ADMIN.
        """
        try:
            entries = [os.pread(self._descriptor, 8, page * 8) for page in pages]
        except OSError as error:
            raise from_os_error(error, self.pid, "read its pagemap") from error
        numbers = [int.from_bytes(entry, "little") for entry in entries]
        return [entry & int(_FRAME) if entry >> _PRESENT_BIT else 0 for entry in numbers]

    def entries(self, first: int, end: int) -> NDArray[np.uint64]:
        """The plain file's entries for these pages; fewer where the memory is no more, or user memory ends.

        Raises:
            NotPermitted: it is no longer ours to read.
        """
        try:
            raw = os.pread(self._descriptor, (end - first) * 8, first * 8)
        except OSError as error:
            if error.errno == errno.EFAULT:  # beyond the end of user memory: nothing there
                raw = b""
            else:
                raise from_os_error(error, self.pid, "read its pagemap") from error
        return np.frombuffer(raw, dtype="<u8")


@lru_cache
def scan_knows(category: Category = NOTHING) -> bool:
    """Whether this kernel has `PAGEMAP_SCAN`, and in it this category.

    The ioctl came with Linux 6.7, SOFT_DIRTY in it a little later (commit e6a9a2cbc13b).
    """
    with Pagemap(os.getpid()) as pagemap:
        try:
            pagemap.scan(1, 2, returned=category)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
            return False
    return True


_READ_PAGES: Final = (8 << 20) // 8  # 8 MiB of entries at a time: 4 GiB of memory

_SOFT_DIRTY_BIT: Final = 55
_SWAPPED_BIT: Final = 62
_PRESENT_BIT: Final = 63
_FRAME: Final = np.uint64((1 << _SOFT_DIRTY_BIT) - 1)

# An entry's bits from that one on, with two that the kernel leaves to us.
_TOLD: Final = np.uint64(0b1_1100_0001)
_EXCLUSIVE: Final = np.uint64(1 << 56)
_IS_ZERO_FRAME: Final = np.uint16(1 << 1)
_IS_NOT_EXCLUSIVE: Final = np.uint16(1 << 2)
_BITS: Final = (
    (np.uint16(1 << 8), Category.PRESENT),
    (np.uint16(1 << 7), Category.SWAPPED),
    (np.uint16(1 << 6), Category.FILE),
    (np.uint16(1 << 0), Category.SOFT_DIRTY),
    (_IS_ZERO_FRAME, Category.ZERO),
    (_IS_NOT_EXCLUSIVE, Category.NOT_EXCLUSIVE),
)


class Snapshot:
    """What the plain file held at one moment: entries of eight bytes, by the first page's number."""

    def __init__(self, pieces: Iterable[tuple[int, NDArray[np.uint64]]]) -> None:
        self._pieces = tuple(pieces)

    def regions(self, zero_frame: int = 0) -> Regions:
        """What they say. `zero_frame` is as of `Pagemap.read`."""
        starts: list[Int64Array] = []
        ends: list[Int64Array] = []
        categories: list[NDArray[np.uint64]] = []
        for low, entries in self._pieces:
            told = _what_is_told(entries, zero_frame)
            edges = np.flatnonzero(told[1:] != told[:-1]) + 1
            begin = np.concatenate(([0], edges))
            finish = np.concatenate((edges, [len(told)]))
            kinds = _categories_of(told[begin])
            used = (kinds & np.uint64(IN_USE)) != 0
            starts.append(begin[used] + low)
            ends.append(finish[used] + low)
            categories.append(kinds[used])
        return Regions(
            np.concatenate(starts) if starts else np.empty(0, np.int64),
            np.concatenate(ends) if ends else np.empty(0, np.int64),
            np.concatenate(categories) if categories else np.empty(0, np.uint64),
        )


def _what_is_told(entries: NDArray[np.uint64], zero_frame: int) -> NDArray[np.uint16]:
    told = ((entries >> np.uint64(_SOFT_DIRTY_BIT)) & _TOLD).astype(np.uint16)
    if zero_frame:
        told[(entries & _FRAME) == np.uint64(zero_frame)] |= _IS_ZERO_FRAME
    else:
        told[(entries & _EXCLUSIVE) == 0] |= _IS_NOT_EXCLUSIVE
    return told


def _categories_of(told: NDArray[np.uint16]) -> NDArray[np.uint64]:
    kinds = np.zeros(len(told), np.uint64)
    for bit, category in _BITS:
        kinds[(told & bit) != 0] |= np.uint64(category)
    # In an entry that is swapped out the same bits are a place in the swap.
    is_present = (kinds & np.uint64(Category.PRESENT)) != 0
    kinds[~is_present] &= ~np.uint64(Category.ZERO | Category.NOT_EXCLUSIVE)
    return kinds


@lru_cache(maxsize=1)
def find_zero_frame() -> int:
    """The frame number of the shared zero page, from a page of our own that was only read.

    Frame numbers need CAP_SYS_ADMIN; 0 without it, and zero pages then count as any other.
    """
    with mmap.mmap(-1, PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        _ = page[0]
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        with open("/proc/self/pagemap", "rb", 0) as file:
            (entry,) = struct.unpack("<Q", os.pread(file.fileno(), 8, (address >> PAGE_SHIFT) * 8))
    return int(entry & int(_FRAME)) if entry >> 63 else 0
