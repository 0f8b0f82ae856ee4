"""When each page was last written: sorted ranges with a time stamp each."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, Int64Array, PageSet

FloatArray = NDArray[np.float64]


@final
class PageAges:
    """The time of the last write seen to each page, immutable.

    Ranges are half-open page numbers, ascending and disjoint; neighbours with equal stamps are one.
    Costs follow the number of ranges.
    """

    __slots__ = ("ends", "pages", "stamps_s", "starts")

    def __init__(self, starts: Int64Array, ends: Int64Array, stamps_s: FloatArray) -> None:
        self.starts = starts
        self.ends = ends
        self.stamps_s = stamps_s
        self.pages = PageSet(starts, ends)
        """All pages with a stamp: every page seen written."""

    def written(self, pages: PageSet, stamp_s: float) -> PageAges:
        """The same after these pages were written at `stamp_s`, not earlier than any stamp before."""
        if not pages:
            return self
        kept = self._kept(self.pages - pages)
        starts = np.concatenate((kept[0], pages.starts))
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        ends = np.concatenate((kept[1], pages.ends))[order]
        stamps_s = np.concatenate((kept[2], np.full(pages.range_count, stamp_s)))[order]
        apart = (starts[1:] != ends[:-1]) | (stamps_s[1:] != stamps_s[:-1])
        first = np.concatenate(([True], apart))
        return PageAges(starts[first], ends[np.concatenate((apart, [True]))], stamps_s[first])

    def within(self, pages: PageSet) -> PageAges:
        """Only what lies in `pages` (what is still mapped, say)."""
        if self.pages <= pages:
            return self
        return PageAges(*self._kept(self.pages & pages))

    def _kept(self, pages: PageSet) -> tuple[Int64Array, Int64Array, FloatArray]:
        """The parts of our ranges that lie in `pages`, a subset of ours, with their stamps."""
        # `pages` may join neighbours of ours that have different stamps: cut at our bounds again.
        cuts = self.starts[1:][self.starts[1:] == self.ends[:-1]]
        cuts = cuts[pages.contains_each(cuts) & pages.contains_each(cuts - 1)]
        starts = np.sort(np.concatenate((pages.starts, cuts)))
        ends = np.sort(np.concatenate((pages.ends, cuts)))
        origin = np.searchsorted(self.starts, starts, side="right") - 1
        return starts, ends, self.stamps_s[origin]

    def last_write_s(self, maps: Maps) -> FloatArray:
        """The newest stamp in each VMA; NaN where there is none. Shape (number of VMAs,)."""
        newest = np.full(len(maps.starts), np.nan)
        low = np.searchsorted(self.ends, maps.starts, side="right")
        high = np.searchsorted(self.starts, maps.ends, side="left")
        touched = np.flatnonzero(low < high)
        if len(touched):
            bounds = np.column_stack((low[touched], high[touched])).ravel()
            padded = np.append(self.stamps_s, -np.inf)
            newest[touched] = np.maximum.reduceat(padded, bounds)[::2]
        return newest


NEVER = PageAges(EMPTY.starts, EMPTY.ends, np.empty(0))
"""No page seen written."""
