"""Where in memory a tick saw writes: one small column of counts, whatever the size of the target.

Memory in use that can be written is laid out without its holes as some hundred *stretches*: parts of a
large mapping, a mapping, or several small neighbours, each of about as many pages. A column counts the
pages written in each. The layout stays as it is for as long as it fits, and columns line up; when
mappings have come, gone or outgrown it, the next column has a layout of its own, and `HeatLayout.moved`
tells what earlier columns are on it. A history is a sequence of columns of a few KiB each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, PAGE_SIZE, Int64Array, PageSet

STRETCHES: Final = 512
"""About as many stretches has a large memory; only a large tree has more than five times as many."""
_FEW: Final = STRETCHES // 2
"""So many small mappings are kept apart from one another."""
_OUTGROWN: Final = 2
_SHRUNK: Final = 0.5

CountArray = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a tick found of one process."""

    pid: int
    maps: Maps
    present: PageSet
    written: PageSet


@dataclass(frozen=True, slots=True, eq=False)
class HeatLayout:
    """Stretches of memory, process by process and ascending by address; arrays of shape (n,)."""

    pids: Int64Array
    starts: Int64Array
    """First page number of each."""
    ends: Int64Array
    """Page number after the last; holes may lie in between, and after it."""
    pages: Int64Array
    """In use and writable when it was laid out."""

    def __len__(self) -> int:
        """How many stretches."""
        return len(self.starts)

    def of_process(self, pid: int) -> slice:
        """Where the stretches of a process are."""
        at = np.flatnonzero(self.pids == pid)
        return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)

    def find(self, pid: int, page: int) -> int | None:
        """Which stretch counts this page; None if the process has none."""
        part = self.of_process(pid)
        if part.start == part.stop:
            return None
        return int(part.start) + max(0, int(np.searchsorted(self.starts[part], page, side="right")) - 1)

    def moved(self, before: HeatLayout, counts: CountArray) -> NDArray[np.float64]:
        """Counts that were taken on another layout as they are on this one.

        Args:
            before: the other one.
            counts: shape (k, number of stretches before).

        Returns:
            Shape (k, number of stretches). Exact where bounds are the same; a stretch that was cut is
            taken as written evenly. What was counted in memory that is gone is gone.
        """
        moved = np.zeros((len(counts), len(self)))
        if before is self:
            moved[:] = counts
            return moved
        for pid in np.unique(self.pids).tolist():
            old, new = before.of_process(pid), self.of_process(pid)
            if old.start < old.stop:
                # How many were written below each bound: straight lines between these knots.
                knots = np.column_stack((before.starts[old], before.ends[old])).ravel()
                below = np.cumsum(counts[:, old], axis=1, dtype=np.float64)
                below = np.repeat(np.column_stack((np.zeros(len(counts)), below)), 2, axis=1)[:, 1:-1]
                low, high = (_between(knots, below, bounds[new]) for bounds in (self.starts, self.ends))
                moved[:, new] = high - low
        return moved


def _between(knots: Int64Array, values: NDArray[np.float64], at: Int64Array) -> NDArray[np.float64]:
    """Many functions of one variable interpolated at once: values (k, knots) at (m,) gives (k, m)."""
    right = np.clip(np.searchsorted(knots, at, side="right"), 1, len(knots) - 1)
    left = right - 1
    width = np.maximum(knots[right] - knots[left], 1)
    share = np.clip((at - knots[left]) / width, 0.0, 1.0)
    return np.asarray(values[:, left] * (1 - share) + values[:, right] * share)


NO_LAYOUT: Final = HeatLayout(*(np.empty(0, np.int64) for _ in range(4)))


@dataclass(frozen=True, slots=True, eq=False)
class HeatColumn:
    """What one tick adds to the picture."""

    time_s: float
    """`time.monotonic()` of the tick."""
    interval_s: float
    """Measured; 0 in the first tick, which has no rate."""
    layout: HeatLayout = NO_LAYOUT
    pages: CountArray = field(default_factory=lambda: np.empty(0, np.uint32))
    """Written in each stretch, shape (n,); their sum is the tick's."""
    page_bytes: int = PAGE_SIZE


NO_HEAT: Final = HeatColumn(0.0, 0.0)
"""Of no tick."""


@final
class HeatGrid:
    """Makes the columns of one target tree. To be used from one thread."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._layout = NO_LAYOUT
        self._share = 1
        self._pages_laid = 0

    def tick(self, time_s: float, interval_s: float, found: Sequence[Found]) -> HeatColumn:
        """Count where these pages were written.

        Args:
            time_s: monotonic.
            interval_s: since the tick before.
            found: of each process, the root first.
        """
        before = self._processes
        self._processes = {each.pid: _Process.of(each, before.get(each.pid)) for each in found}
        if tuple(before) != tuple(self._processes) or self._has_changed(before):
            self._lay_out()
        layout = self._layout
        pages = np.zeros(len(layout), np.uint32)
        for each in found:
            part = layout.of_process(each.pid)
            if part.start < part.stop:
                pages[part] = _counts(each.written, layout.starts[part])
        return HeatColumn(time_s, interval_s, layout, pages)

    def _has_changed(self, before: dict[int, _Process]) -> bool:
        """Whether the layout fits no longer: a stretch has doubled, or half of memory is gone."""
        if all(process is before[pid] for pid, process in self._processes.items()):
            return False
        total = 0
        for pid, process in self._processes.items():
            total += process.in_use.count
            part = self._layout.of_process(pid)
            if part.start == part.stop:
                if process.in_use:
                    return True
                continue
            room = _OUTGROWN * np.maximum(self._layout.pages[part], self._share)
            if (_counts(process.in_use, self._layout.starts[part]) > room).any():
                return True
        return total < _SHRUNK * self._pages_laid

    def _lay_out(self) -> None:
        processes = list(self._processes.items())
        self._pages_laid = sum(process.in_use.count for _, process in processes)
        self._share = max(1, -(-self._pages_laid // STRETCHES))
        of_vmas = [process.maps.count(process.in_use) for _, process in processes]
        small = sum(int(((pages > 0) & (pages < self._share)).sum()) for pages in of_vmas)
        parts = [
            _stretches(process, pages, self._share, joins_small=small > _FEW)
            for (_, process), pages in zip(processes, of_vmas, strict=True)
        ]
        if not parts:
            self._layout = NO_LAYOUT
            return
        pids = [np.full(len(part[0]), pid, np.int64) for (pid, _), part in zip(processes, parts, strict=True)]
        starts, ends, pages = (np.concatenate([part[column] for part in parts]) for column in range(3))
        self._layout = HeatLayout(np.concatenate(pids), starts, ends, pages)


@dataclass(frozen=True, slots=True, eq=False)
class _Process:
    """What the layout follows from; the same object for as long as nothing changed."""

    maps: Maps
    present: PageSet
    writable: PageSet
    in_use: PageSet
    """Present and writable."""

    @classmethod
    def of(cls, found: Found, before: _Process | None) -> _Process:
        if before is not None and before.maps is found.maps:
            if before.present is found.present:
                return before
            writable = before.writable
        else:
            writable = found.maps.where([vma.perms[1] == "w" for vma in found.maps.vmas])
        return cls(found.maps, found.present, writable, found.present & writable if writable else EMPTY)


def _counts(pages: PageSet, starts: Int64Array) -> Int64Array:
    """Pages from each start to the next; the first also has what is lower, the last what is higher."""
    return np.diff(pages.count_below(starts[1:]), prepend=0, append=pages.count)


def _stretches(
    process: _Process, pages: Int64Array, share: int, *, joins_small: bool
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Starts, ends and pages of one process's stretches, of about `share` pages each."""
    used = np.flatnonzero(pages)
    starts, ends, pages = process.maps.starts[used], process.maps.ends[used], pages[used]
    if not len(used):
        return starts, ends, pages
    if joins_small:
        # Neighbours that are small begin a new stretch only where their sum passes another share.
        is_small = pages < share
        sums = np.cumsum(np.where(is_small, pages, 0)) // share
        goes_on = is_small[1:] & is_small[:-1] & (sums[1:] == sums[:-1])
        first = np.flatnonzero(np.concatenate(([True], ~goes_on)))
        last = np.append(first[1:], len(starts)) - 1
        starts, ends, pages = starts[first], ends[last], np.add.reduceat(pages, first)
    # Large ones are cut where their pages in use are halved, thirded, …
    parts = -(-pages // share)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    rank = np.repeat(process.in_use.count_below(starts), parts) + np.repeat(pages / parts, parts) * number
    cuts = _pages_at(process.in_use, rank.astype(np.int64))
    is_first = number == 0
    cuts[is_first] = starts
    cut_ends = np.append(cuts[1:], 0)
    is_last = np.append(is_first[1:], True)
    cut_ends[is_last] = ends
    return cuts, cut_ends, process.in_use.count_within(cuts, cut_ends)


def _pages_at(pages: PageSet, ranks: Int64Array) -> Int64Array:
    """The pages of these ranks: 0 is the lowest of the set."""
    through = np.cumsum(pages.ends - pages.starts)
    at = np.searchsorted(through, ranks, side="right")
    return np.asarray(pages.ends[at] - (through[at] - ranks), np.int64)
