"""What a heat map shows of a history of columns: rows of memory against time, as arrays.

Everything that concerns all cells is NumPy, and its cost follows the size of the picture, not that of the
target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernel.maps import Vma
from engine.pageset import PAGE_SHIFT, Int64Array
from engine.tracking.heat import NO_LAYOUT, HeatColumn, HeatLayout
from engine.tracking.sample import ProcessSample, Sample

FloatArray = NDArray[np.float64]


class Place(NamedTuple):
    """A page of one process."""

    pid: int
    page: int


@dataclass(frozen=True, slots=True)
class Zoom:
    """The part of memory that is shown: so many stretches from the one that holds this place."""

    first: Place
    count: int


@dataclass(frozen=True, eq=False)
class HeatPicture:
    """Written bytes per second of each row in each of the last ticks."""

    columns: tuple[HeatColumn, ...]
    """Those in view, the newest last."""
    firsts: Int64Array
    """Number of the first stretch of each row, and after the last row that of the end; shape (rows + 1,)."""

    @classmethod
    def of(
        cls, history: Sequence[HeatColumn], rows: int, width: int, zoom: Zoom | None = None
    ) -> HeatPicture:
        """The last `width` columns in at most `rows` rows, fewer where there are not as many stretches."""
        columns = tuple(history[-width:]) if width > 0 else ()
        layout = columns[-1].layout if columns else NO_LAYOUT
        first, count = 0, len(layout)
        if zoom is not None:
            count = min(zoom.count, count)
            first = min(layout.find(*zoom.first) or 0, len(layout) - count)
        rows = max(0, min(rows, count))
        return cls(columns, first + np.arange(rows + 1, dtype=np.int64) * count // max(rows, 1))

    @property
    def layout(self) -> HeatLayout:
        """Of the newest column; what all are drawn on."""
        return self.columns[-1].layout if self.columns else NO_LAYOUT

    @property
    def row_count(self) -> int:
        """How many rows."""
        return len(self.firsts) - 1

    @cached_property
    def rates(self) -> FloatArray:
        """Bytes per second, shape (rows, columns); NaN where a column has no rate."""
        if not self.row_count:
            return np.zeros((0, len(self.columns)))
        low, high = int(self.firsts[0]), int(self.firsts[-1])
        parts = []
        for layout, group in groupby(self.columns, key=lambda column: column.layout):
            taken = list(group)
            pages = self.layout.moved(layout, np.stack([column.pages for column in taken]))
            per_s = np.array(
                [c.page_bytes / c.interval_s if c.interval_s > 0 else math.nan for c in taken], np.float64
            )
            rows = np.add.reduceat(pages[:, low:high], self.firsts[:-1] - low, axis=1)
            parts.append(rows * per_s[:, np.newaxis])
        return np.concatenate(parts).T

    @cached_property
    def pages(self) -> Int64Array:
        """In use in each row, as of when it was laid out."""
        return np.diff(np.concatenate(([0], np.cumsum(self.layout.pages)))[self.firsts])

    def place(self, row: int) -> Place:
        """Where a row begins."""
        at = int(self.firsts[row])
        return Place(int(self.layout.pids[at]), int(self.layout.starts[at]))

    def row_of(self, place: Place) -> int | None:
        """The row that shows this place, if one does."""
        at = self.layout.find(*place)
        if at is None or not self.row_count or not self.firsts[0] <= at < self.firsts[-1]:
            return None
        return int(np.searchsorted(self.firsts, at, side="right")) - 1

    def hottest_row(self) -> int | None:
        """The row with the most written in view; None where nothing was."""
        sums = np.nansum(self.rates, axis=1)
        return int(sums.argmax()) if len(sums) and sums.max() > 0 else None

    def last_write_s(self, row: int) -> float:
        """How long before the newest column it was written; NaN if not in view."""
        written = np.flatnonzero(self.rates[row] > 0)
        return self.columns[-1].time_s - self.columns[int(written[-1])].time_s if len(written) else math.nan


def hottest_part(history: Sequence[HeatColumn], count: int) -> Zoom | None:
    """The `count` neighbouring stretches in which most was written; None if nothing was."""
    picture = HeatPicture.of(history, len(history[-1].layout) if history else 0, len(history))
    below = np.concatenate(([0.0], np.cumsum(np.nansum(picture.rates, axis=1))))
    if below[-1] <= 0:
        return None
    count = max(1, min(count, picture.row_count))
    sums = below[count:] - below[:-count]
    # Of equals the middle one: the hottest stretch is then not at the edge.
    best = np.flatnonzero(sums >= sums.max() * (1 - 1e-9))
    return Zoom(picture.place(int(best[len(best) // 2])), count)


@dataclass(frozen=True, slots=True)
class RowContent:
    """What lies in a row."""

    process: ProcessSample
    vma: Vma
    """The one most written in the last tick, or else the one with most in memory."""
    others: int
    """How many more have pages there."""
    start: int
    """Byte addresses from here …"""
    end: int
    """… to here."""


def content_of(picture: HeatPicture, row: int, sample: Sample) -> RowContent | None:
    """Look up what a row shows in the maps of a sample; None if it has gone."""
    layout = picture.layout
    first, last = int(picture.firsts[row]), int(picture.firsts[row + 1]) - 1
    pid = int(layout.pids[first])
    process = next((each for each in sample.processes if each.pid == pid), None)
    if process is None:
        return None
    while int(layout.pids[last]) != pid:
        last -= 1
    maps = process.maps
    start, end = int(layout.starts[first]), int(layout.ends[last])
    low = int(np.searchsorted(maps.ends, start, side="right"))
    high = int(np.searchsorted(maps.starts, end, side="left"))
    present, written = process.present_pages[low:high], process.written_pages[low:high]
    used = np.flatnonzero(present)
    hottest_first = low + used[np.lexsort((-present[used], -written[used]))]
    for at in hottest_first.tolist():
        if maps.vmas[at].perms[1] == "w":
            vma = maps.vmas[at]
            return RowContent(process, vma, len(used) - 1, start << PAGE_SHIFT, end << PAGE_SHIFT)
    return None
