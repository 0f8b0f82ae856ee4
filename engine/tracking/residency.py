"""Which pages a process occupies, by the best means the kernel has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self, final

import numpy as np

from engine.kernel.huge_pages import whole_huge_pages
from engine.kernel.maps import Maps, VmaKind
from engine.kernel.pagemap import NOTHING, Category, Pagemap, Regions, Snapshot, find_zero_frame, scan_knows
from engine.kernel.process import resident_pages
from engine.kernel.smaps import read_smaps
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet

_MOST_SPANS: Final = 64
_WORTH_ASKING_SMAPS: Final = (1 << 30) >> PAGE_SHIFT
_LOOK_FOR_HUGE_AGAIN_S: Final = 10.0
_LOOK_AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class InUse:
    """The pages a process occupies."""

    present: PageSet
    """Resident or swapped, without the shared zero page."""
    dumpable: PageSet
    """Those a checkpoint must save: of private mappings, without unmodified pages of files."""


NOTHING_IN_USE: Final = InUse(EMPTY, EMPTY)


@dataclass(frozen=True, slots=True, eq=False)
class SoftDirty:
    """What the soft-dirty bits of a process say."""

    dirty: PageSet = EMPTY
    """Soft-dirty, and in use; pages of privately mapped files do not count before they are modified."""
    huge: PageSet = EMPTY
    """Those of them that lie in huge pages, which have one bit each. The plain file does not tell huge
    pages: there it is the pages that may lie in one."""
    zeros: PageSet = EMPTY
    """Not dirty, and where the huge zero page is: so looks memory that was given up and only read since,
    whatever it held before. By a scan, which knows that page, it is not in use, and not here."""
    perhaps_zeros: PageSet = EMPTY
    """Not dirty, and perhaps where the small zero page is, which cannot be told without privileges."""


@lru_cache(maxsize=1)
def _not_memory() -> Category:
    """What shows in a scan and holds nothing."""
    return Category.ZERO | (Category.GUARD if scan_knows(Category.GUARD) else NOTHING)


class PageReader:
    """Pages in use with their soft-dirty bit, by the best means the kernel has; no zero pages."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pagemap = Pagemap(pid)
        self._with_huge_pages = EMPTY
        self._with_huge_pages_as_of: tuple[Maps, int] | None = None
        self._look_for_huge_again_at_s = 0.0
        self._mapped = EMPTY
        self._mapped_as_of: Maps | None = None

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        self.pagemap.close()

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close it."""
        self.close()

    def in_use(self, maps: Maps) -> InUse:
        """The pages in use now. Raises TargetGone."""
        if scan_knows():
            present = self.pagemap.scan(*maps.user_span, none_of=_not_memory()).pages()
            unmodified = unmodified_file_pages(self.pagemap, maps, present)
        else:
            regions = self._read_plainly(maps)
            present = regions.pages(without=Category.ZERO)
            unmodified = _shown_as_of_files(regions, maps)
        return InUse(present, ((present - unmodified) & maps.dumpable) | maps.vdso)

    def soft_dirty(self, maps: Maps) -> SoftDirty:
        """The soft-dirty bits now. Raises TargetGone."""
        return self.glance_at_soft_dirty(maps)()

    def glance_at_soft_dirty(self, maps: Maps) -> Callable[[], SoftDirty]:
        """The same in two steps: the bits as they are now, and what they mean, found out by calling that.

        The first step is short, for a target that is stopped. Pages of files are told from copies by the
        second: one that is modified in between counts as dirty.
        """
        if scan_knows(Category.SOFT_DIRTY):
            scanned = self.pagemap.scan(
                *maps.user_span, all_of=Category.SOFT_DIRTY, none_of=Category.ZERO, returned=Category.HUGE
            )
            return lambda: self._soft_dirty_scanned(scanned, maps)
        snapshot = self.pagemap.snapshot(self._occupied(maps))
        return lambda: self._soft_dirty_read(snapshot, maps)

    def _soft_dirty_scanned(self, scanned: Regions, maps: Maps) -> SoftDirty:
        dirty = scanned.pages()
        dirty -= unmodified_file_pages(self.pagemap, maps, dirty)
        return SoftDirty(dirty, scanned.pages(with_all=Category.HUGE) & dirty)

    def _soft_dirty_read(self, snapshot: Snapshot, maps: Maps) -> SoftDirty:
        regions = snapshot.regions(find_zero_frame())
        dirty = regions.pages(with_all=Category.SOFT_DIRTY, without=Category.ZERO)
        dirty -= _shown_as_of_files(regions, maps) & maps.private
        clean_anonymous = maps.anonymous - dirty
        return SoftDirty(
            dirty,
            self._perhaps_huge(dirty, maps),
            regions.pages(with_all=Category.FILE) & clean_anonymous,
            regions.pages(with_all=Category.NOT_EXCLUSIVE, without=Category.FILE) & clean_anonymous,
        )

    def _perhaps_huge(self, dirty: PageSet, maps: Maps) -> PageSet:
        """Which dirty pages may be so only because a neighbour in the same huge page is.

        The kernel walks every page for smaps, as it does for the plain file, and so it is read only
        when the place of some huge page is dirty throughout, and only when something has changed.
        """
        whole = whole_huge_pages(dirty)
        if not whole:
            return EMPTY
        as_of, now_s = (maps, resident_pages(self.pid)), time.monotonic()
        if as_of != self._with_huge_pages_as_of or now_s >= self._look_for_huge_again_at_s:
            holding = [entry for entry in read_smaps(self.pid) if entry.holds_huge_pages]
            self._with_huge_pages = PageSet.from_addresses(
                [entry.start for entry in holding], [entry.end for entry in holding]
            )
            self._with_huge_pages_as_of = as_of
            self._look_for_huge_again_at_s = now_s + _LOOK_FOR_HUGE_AGAIN_S
        return whole & self._with_huge_pages

    def _read_plainly(self, maps: Maps) -> Regions:
        return self.pagemap.read(self._occupied(maps), find_zero_frame())

    def _occupied(self, maps: Maps) -> list[tuple[int, int]]:
        """Page ranges worth reading: huge mappings only where smaps says that they hold something."""
        if maps is not self._mapped_as_of:
            self._mapped, self._mapped_as_of = maps.pages - maps.of_kind(VmaKind.VSYSCALL), maps
        ranges = self._mapped
        # Of a process that is about to exit there may be no mapping left.
        if len(maps.starts) and (maps.ends - maps.starts).max() >= _WORTH_ASKING_SMAPS:
            empty = [entry for entry in read_smaps(self.pid) if entry.is_empty]
            ranges = ranges - PageSet.from_addresses(
                [entry.start for entry in empty], [entry.end for entry in empty]
            )
        return list(ranges.ranges())


@final
class Residency:
    """The pages in use of one process, looked up when something tells that they changed.

    A walk over all of memory each tick would double its cost. Pages that come by being written
    are reported. Pages that go, or come by being read, change the resident size. Changes that cancel
    out are seen a few seconds later.
    """

    def __init__(self, pid: int) -> None:
        """Open its pagemap. Raises TargetGone, NotPermitted."""
        self._reader = PageReader(pid)
        self.pagemap = self._reader.pagemap
        self._as_of: tuple[Maps, int] | None = None
        self._look_again_at_s = 0.0
        self.in_use: InUse = NOTHING_IN_USE
        """As last known."""

    def look(self, maps: Maps) -> InUse:
        """Look now. Raises TargetGone."""
        return self._look((maps, resident_pages(self._reader.pid)), time.monotonic())

    def follow(self, maps: Maps, written: PageSet, now_s: float) -> InUse:
        """Look if there is reason to, else add what was written since. Raises TargetGone."""
        as_of = (maps, resident_pages(self._reader.pid))
        if as_of != self._as_of or now_s >= self._look_again_at_s:
            return self._look(as_of, now_s)
        if not written <= self.in_use.present:
            self.in_use = InUse(
                self.in_use.present | written, self.in_use.dumpable | (written & maps.dumpable)
            )
        return self.in_use

    def _look(self, as_of: tuple[Maps, int], now_s: float) -> InUse:
        self.in_use = self._reader.in_use(as_of[0])
        self._as_of = as_of
        self._look_again_at_s = now_s + _LOOK_AGAIN_S
        return self.in_use

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        self._reader.close()


def _shown_as_of_files(regions: Regions, maps: Maps) -> PageSet:
    """Which pages the plain file says to be a file's, or shared.

    In anonymous memory that is the huge zero page. It counts as memory of the process: CRIU, where it
    reads the plain file too, wants the link before its own to have it.
    """
    return regions.pages(with_all=Category.FILE) - maps.anonymous


def unmodified_file_pages(pagemap: Pagemap, maps: Maps, among: PageSet) -> PageSet:
    """Which of these pages show a privately mapped file as it is, and so are not the process's own.

    The kernel has to look at each page itself to tell, several times the price of a scan without
    that question: it is asked only for private mappings of files.
    """
    suspects = among & maps.private_files
    if not suspects:
        return EMPTY
    touched = np.flatnonzero(suspects.count_within(maps.private_files.starts, maps.private_files.ends))
    spans = [(int(maps.private_files.starts[at]), int(maps.private_files.ends[at])) for at in touched]
    if len(spans) > _MOST_SPANS:
        spans = [(spans[0][0], spans[-1][1])]
    found = [pagemap.scan(*span, all_of=Category.FILE).pages() for span in spans]
    return PageSet.union_all(found) & suspects
