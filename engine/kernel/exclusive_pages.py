"""Which pages no other process has, and which are there at all (Documentation/admin-guide/mm/pagemap.rst).

The plain pagemap tells both, for some 30 ns a page; `PAGEMAP_SCAN` only what is there, for half of that.
What is not there must not even be read: that fills page tables, and shared memory gets pages.

Bit 56 of an entry says that a page is mapped once in the whole system (Linux 4.2, commit 77bb499bb60f). For a
huge page that is mapped by one entry many kernels look at its first page only, and call all of it exclusive
if another process has parted with that one page: kernels before 6.11 (commit 2c1f057e5be6), and 6.18 again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetGone
from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.pagemap import Category, Pagemap, scan_knows
from engine.kernel.process import read_stat
from engine.pageset import EMPTY, Int64Array, PageSet

_READ_THROUGH: Final = 32
"""Pages between two wanted ones that are read rather than left out: another system call takes longer."""
_ENTRIES_PER_PAGE: Final = 60
"""So many entries are read in the time that is lost by one page not known to be exclusive."""

_NOTHING, _ELSEWHERE, _SHARED, _EXCLUSIVE = range(4)


def _kind(byte: int) -> int:
    """What the highest byte of an entry means, bits 56 to 63."""
    present, swapped, of_file, guard, mapped_once = (byte >> bit & 1 for bit in (7, 6, 5, 2, 0))
    if present:
        # Nobody gets a copy of a page of a file, or of shared memory, for being read.
        return _EXCLUSIVE if mapped_once or of_file else _SHARED
    return _ELSEWHERE if swapped and not guard else _NOTHING


_KINDS: Final = np.array([_kind(byte) for byte in range(256)], np.uint8)
_OF_PROCESSES: Final = np.array([byte >> 7 & 1 and not byte >> 5 & 1 for byte in range(256)], np.bool_)
"""Whether the highest byte is that of a page in memory which is no file's, and not shared memory."""
_FRAME: Final = np.uint64((1 << 55) - 1)


class Found(NamedTuple):
    """What was found of some pages."""

    there: PageSet
    """Those in memory or in swap."""
    exclusive: PageSet
    """Those of them that are in memory, and that can be pinned without anything being copied."""


def find_exclusive(pagemap: Pagemap, pages: PageSet) -> Found:
    """Tell from the plain pagemap which pages are exclusive.

    A part of a huge page that others have parted with is mapped once too, and yet is copied for as long as
    they have the rest: where a huge page can be, either all is exclusive, or nothing.

    Raises:
        TargetGone: the process has exited.
    """
    if not pages:
        return Found(EMPTY, EMPTY)
    there: list[PageSet] = []
    exclusive: list[PageSet] = []
    for first, end in _spans(pages, pages_per_huge_page()):
        kinds = _KINDS[_highest_bytes(pagemap, first, end)]
        doubtful = _doubtful(pagemap, kinds, first)
        all_of_it = PageSet([first], [end])
        there.append(_where(kinds != _NOTHING, first, all_of_it))
        exclusive.append(_where(kinds == _EXCLUSIVE, first, all_of_it) - doubtful)
    return Found(_common(pages, there), _common(pages, exclusive))


def is_worth_finding(pages: PageSet) -> bool:
    """Whether telling exclusive pages takes less time than is gained by knowing."""
    spans = _spans(pages, pages_per_huge_page())
    entries = sum(end - first for first, end in spans)
    return len(spans) + entries // _ENTRIES_PER_PAGE <= pages.count


def find_there(pagemap: Pagemap, pages: PageSet) -> PageSet:
    """Which of these pages are in memory or in swap, by the quickest means the kernel has.

    Raises:
        TargetGone: the process has exited.
    """
    if not scan_knows():
        found = [
            _where(_KINDS[_highest_bytes(pagemap, *span)] != _NOTHING, span[0], PageSet([span[0]], [span[1]]))
            for span in _spans(pages, 1)
        ]
        return _common(pages, found)
    first, end = int(pages.starts[0]), int(pages.ends[-1])
    try:
        scanned = pagemap.scan(first, end)
    except TargetGone:  # some kernels say so of memory that another program has taken the place of
        require_alive(pagemap.pid)
        return EMPTY
    if len(scanned.starts) == 1 and scanned.starts[0] == first and scanned.ends[0] == end:
        return pages
    there = scanned.pages()
    if pages <= there:
        return pages
    if not there:
        require_alive(pagemap.pid)
    return pages & there


def find_frames(pagemap: Pagemap, pages: PageSet) -> NDArray[np.uint64]:
    """In which frame each of these pages is, ascending; 0 for one that is not in memory, or is a file's.

    They are told only with CAP_SYS_ADMIN; without it all are 0.
    """
    found = [np.empty(0, np.uint64)]
    for first, end in _spans(pages, 1) if pages else ():
        entries = pagemap.entries(first, end)
        wanted = pages.clip(first, first + len(entries)).pages() - first
        frames = entries[wanted]
        frames = np.where(_OF_PROCESSES[frames >> np.uint64(56)], frames & _FRAME, np.uint64(0))
        # Where the memory is no more, or user memory ends, entries are fewer.
        missing = pages.clip(first, end).count - len(frames)
        found += [frames, np.zeros(missing, np.uint64)]
    return np.concatenate(found)


def require_alive(pid: int) -> None:
    """Tell a process that has exited from one that runs another program: of both the old memory is empty.

    Raises:
        TargetGone: it has exited.
    """
    stat = read_stat(pid)
    if stat.is_exiting or stat.is_dead:
        raise TargetGone(f"process {pid} has exited (cannot read its memory)", pid=pid)


def _spans(pages: PageSet, unit: int) -> list[tuple[int, int]]:
    """What to read to know of all these pages, in whole units; those close by in one."""
    starts, ends = pages.starts // unit * unit, -(-pages.ends // unit) * unit
    apart = starts[1:] - ends[:-1] > _READ_THROUGH
    starts, ends = starts[np.concatenate(([True], apart))], ends[np.concatenate((apart, [True]))]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _highest_bytes(pagemap: Pagemap, first: int, end: int) -> NDArray[np.uint8]:
    entries = pagemap.entries(first, end)
    if not len(entries):
        require_alive(pagemap.pid)
    if len(entries) < end - first:  # user memory ends here
        entries = np.concatenate((entries, np.zeros(end - first - len(entries), "<u8")))
    return entries.view(np.uint8)[7::8]


def _doubtful(pagemap: Pagemap, kinds: NDArray[np.uint8], first: int) -> PageSet:
    """Places of huge pages where some page is shared, or all may be without our being told."""
    unit = pages_per_huge_page()
    by_place = kinds.reshape(-1, unit)
    begin = first + unit * np.arange(len(by_place))
    shared = (by_place == _SHARED).any(axis=1)
    doubtful = PageSet(begin[shared], begin[shared] + unit) if shared.any() else EMPTY
    whole = (by_place == _EXCLUSIVE).all(axis=1)
    if whole.any():
        suspects = PageSet(begin[whole], begin[whole] + unit)
        if scan_knows():
            suspects &= pagemap.scan(first, first + len(kinds), all_of=Category.HUGE).pages()
        doubtful |= suspects
    return doubtful


def _where(chosen: NDArray[np.bool_], first: int, all_of_it: PageSet) -> PageSet:
    if chosen.all():
        return all_of_it
    edges: Int64Array = np.flatnonzero(np.diff(chosen, prepend=False, append=False)) + first
    return PageSet(edges[::2], edges[1::2])


def _common(pages: PageSet, parts: list[PageSet]) -> PageSet:
    """What lies in these disjoint parts; `pages` itself if all of it does."""
    found = parts[0] if len(parts) == 1 else PageSet.union_all(parts)
    return pages if pages <= found else pages & found
