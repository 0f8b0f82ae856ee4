"""Which pages a process occupies, by the best means the kernel has."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.kernel.maps import Maps, VmaKind
from engine.kernel.pagemap import Category, Pagemap, Regions, find_zero_frame
from engine.kernel.smaps import read_smaps
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet

_WORTH_ASKING_SMAPS: Final = (1 << 30) >> PAGE_SHIFT


@dataclass(frozen=True, slots=True, eq=False)
class InUse:
    """The pages a process occupies."""

    present: PageSet
    """Resident or swapped, without the shared zero page."""
    dumpable: PageSet
    """Those a checkpoint must save: of private mappings, without unmodified pages of files."""


NOTHING_IN_USE: Final = InUse(EMPTY, EMPTY)


class PageReader:
    """Pages in use with their soft-dirty bit, by the best means the kernel has; no zero pages."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pagemap = Pagemap(pid)
        self._has_scan = True
        self._zero_frame = 0

    def close(self) -> None:
        """Give the descriptor back."""
        self._pagemap.close()

    def in_use(self, maps: Maps) -> InUse:
        """The pages in use now. Raises TargetGone."""
        regions = self._read(maps, Category(0))
        private = regions.pages(without=Category.FILE) & maps.dumpable
        return InUse(regions.pages(), private | maps.vdso)

    def soft_dirty(self, maps: Maps) -> Regions:
        """The pages in use; the soft-dirty ones have SOFT_DIRTY, others may be missing. Raises TargetGone."""
        return self._read(maps, Category.SOFT_DIRTY)

    def _read(self, maps: Maps, all_of: Category) -> Regions:
        """Regions with FILE, with SOFT_DIRTY if asked for, and HUGE where the kernel tells it."""
        if self._has_scan:
            # Only a kernel with soft-dirty knows its category; ask for it where it is wanted.
            returned = all_of | Category.FILE | Category.HUGE
            try:
                return self._pagemap.scan(
                    *maps.user_span,
                    all_of=all_of,
                    none_of=Category.ZERO,
                    returned=returned,
                )
            except OSError as error:
                # No ioctl before Linux 6.7; no SOFT_DIRTY in it before commit e6a9a2cbc13b (6.7.y).
                if error.errno not in (errno.ENOTTY, errno.EINVAL):
                    raise
                self._has_scan = False
                self._zero_frame = find_zero_frame()
        regions = self._pagemap.read(self._occupied(maps), self._zero_frame)
        kept = (regions.categories & np.uint64(Category.ZERO)) == 0
        return Regions(regions.starts[kept], regions.ends[kept], regions.categories[kept])

    def _occupied(self, maps: Maps) -> list[tuple[int, int]]:
        """Page ranges worth reading: huge mappings only where smaps says that they hold something."""
        ranges = maps.pages - maps.of_kind(VmaKind.VSYSCALL)
        if (maps.ends - maps.starts).max() >= _WORTH_ASKING_SMAPS:
            empty = [entry for entry in read_smaps(self.pid) if entry.is_empty]
            ranges = ranges - PageSet.from_addresses(
                [entry.start for entry in empty], [entry.end for entry in empty]
            )
        return list(ranges.ranges())
