"""Which memory goes into a core: the kernel's rules (vma_dump_size of fs/coredump.c, core(5)).

A mapping is in it whole, or with its first page, or not at all. What images do not hold of a private mapping
of a file is as in the file, and read from there. Where the file is not to be had, only what the images hold
is in the core, and the rest of the mapping is left to what the debugger finds in its own copy of the file:
never is there a zero that was none.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, IntFlag
from typing import Final

from engine.core.elf import Segment
from engine.core.process import PROT_READ, CoreMapping
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet


class Filter(IntFlag):
    """Bits of `/proc/PID/coredump_filter`."""

    ANON_PRIVATE = 1
    ANON_SHARED = 2
    FILE_PRIVATE = 4
    FILE_SHARED = 8
    ELF_HEADERS = 16
    HUGE_PRIVATE = 32
    HUGE_SHARED = 64


ALL: Final = 0x7F
"""Every mapping, but for what the program has asked to be left out."""

_SPARSE_BYTES: Final = 64 << 30
"""A mapping longer than this is cut where nothing is in it for long: file systems have a longest file."""
_GAP_PAGES: Final = (1 << 30) >> PAGE_SHIFT


def wanted_bytes(mapping: CoreMapping, chosen: int, *, is_modified: bool) -> int:
    """How much of a mapping, from its start, the kernel would put into a core.

    Args:
        mapping: which.
        chosen: bits of `Filter`.
        is_modified: whether any page of it is the process's own.
    """
    size_bytes = mapping.length
    if mapping.is_kernels_own:
        return size_bytes if is_modified else 0
    if mapping.is_left_out or mapping.is_device:
        return 0
    if mapping.is_huge:
        wanted = Filter.HUGE_SHARED if mapping.is_shared else Filter.HUGE_PRIVATE
        return size_bytes if chosen & wanted else 0
    if mapping.is_shared:
        wanted = Filter.ANON_SHARED if mapping.is_of_nameless_file else Filter.FILE_SHARED
        return size_bytes if chosen & wanted else 0
    if is_modified and chosen & Filter.ANON_PRIVATE:
        return size_bytes
    if not mapping.name and not mapping.inode:
        # Nothing was ever written to it: it reads as zeros, if the program can read it at all.
        return size_bytes if chosen & Filter.ANON_PRIVATE and mapping.protection & PROT_READ else 0
    if chosen & Filter.FILE_PRIVATE:
        return size_bytes
    if chosen & Filter.ELF_HEADERS and mapping.offset == 0 and mapping.protection & PROT_READ:
        return PAGE_SIZE
    return 0


class Rest(Enum):
    """What is known of the pages of a mapping that the images do not hold as the process's own."""

    ZEROS = "zeros"
    FOUND = "found"
    """They are read from elsewhere."""
    MISSING = "missing"


def segments_of(mapping: CoreMapping, size_bytes: int, held: PageSet, rest: Rest) -> Iterator[Segment]:
    """What a mapping becomes: one segment, unless some of it is not to be had, or very much of it is zeros.

    Args:
        mapping: which.
        size_bytes: how much of it is wanted.
        held: pages that the images have of it.
        rest: the others.
    """
    first, end = mapping.start >> PAGE_SHIFT, mapping.end >> PAGE_SHIFT
    wanted_end = first + (size_bytes >> PAGE_SHIFT)
    wanted = held.clip(first, wanted_end)
    is_whole = rest is not Rest.MISSING or wanted.count == wanted_end - first
    if is_whole and (size_bytes <= _SPARSE_BYTES or rest is not Rest.ZEROS):
        yield Segment(mapping.start, mapping.end, mapping.protection, size_bytes)
        return
    at = first
    for begins, ends in _islands(wanted, _GAP_PAGES if is_whole else 1):
        if at < begins:
            yield Segment(at << PAGE_SHIFT, begins << PAGE_SHIFT, mapping.protection, 0)
        size = (ends - begins) << PAGE_SHIFT
        yield Segment(begins << PAGE_SHIFT, ends << PAGE_SHIFT, mapping.protection, size)
        at = ends
    if at < end:
        yield Segment(at << PAGE_SHIFT, end << PAGE_SHIFT, mapping.protection, 0)


def _islands(pages: PageSet, gap: int) -> Iterator[tuple[int, int]]:
    """Ranges of pages, those together between which there are fewer than so many."""
    begins: int | None = None
    ends = 0
    for first, after in pages.ranges():
        if begins is not None and first - ends >= gap:
            yield begins, ends
            begins = None
        if begins is None:
            begins = first
        ends = after
    if begins is not None:
        yield begins, ends
