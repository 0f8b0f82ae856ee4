"""The working-set curve U(t): how many distinct pages get written within t seconds.

From the time of each page's last write it follows exactly: the pages whose last write lies within the
last t seconds are the distinct pages written in that window, however often each was. It is exact where
the tracker was re-armed t seconds ago (the curve's knots) and in between as good as a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

import numpy as np

from engine.pageset import Int64Array, PageSet
from engine.tracking.ages import FloatArray, PageAges

MOST_KNOTS: Final = 512
"""Kept at most for each process: the newest half as they are, older ones ever further apart."""


class CurveKind(Enum):
    """Which window a curve is about."""

    RECENT = "recent"
    """U(t) counts the pages written in the t seconds that end with the sample."""
    GROWTH = "growth"
    """The tracker is read and not re-armed: U(t) counts the pages written in the first t seconds of this
    epoch (since armed, or since the last link). It says what is written at all, not what is written
    again."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkingSetCurve:
    """Distinct pages against the length of the window; both arrays ascend from 0 and are equally long."""

    kind: CurveKind
    spans_s: FloatArray
    pages: Int64Array

    @property
    def window_s(self) -> float:
        """The longest window it knows; 0 if it knows nothing yet."""
        return float(self.spans_s[-1])

    @property
    def finest_s(self) -> float:
        """The shortest window it knows; 0 if it knows nothing yet."""
        return float(self.spans_s[1]) if len(self.spans_s) > 1 else 0.0

    def at(self, span_s: float) -> float:
        """U(t) in pages; beyond the window its last value, which is then a lower bound."""
        return float(np.interp(span_s, self.spans_s, self.pages))

    def up_to(self, span_s: float) -> WorkingSetCurve:
        """The same for windows up to this long."""
        if span_s >= self.window_s:
            return self
        keep = int(np.searchsorted(self.spans_s, span_s, side="left"))
        spans_s = np.append(self.spans_s[:keep], span_s)
        return WorkingSetCurve(self.kind, spans_s, np.append(self.pages[:keep], round(self.at(span_s))))


NO_CURVE: Final = WorkingSetCurve(CurveKind.RECENT, np.zeros(1), np.zeros(1, np.int64))
"""Nothing is known yet."""


def summed(curves: Sequence[WorkingSetCurve]) -> WorkingSetCurve:
    """The curve of a tree, from the curves of its processes.

    A process whose window is shorter was born, or began another program, when it began: it wrote nothing
    before, so its curve goes on level.
    """
    known = [curve for curve in curves if curve.window_s > 0]
    if len(known) < 2:
        return known[0] if known else NO_CURVE
    # Processes armed a moment ago may differ in kind until the next tick; the root's is what counts.
    known = [curve for curve in known if curve.kind is known[0].kind]
    spans_s = np.unique(np.concatenate([curve.spans_s for curve in known]))
    pages = np.sum([np.interp(spans_s, curve.spans_s, curve.pages) for curve in known], axis=0)
    return WorkingSetCurve(known[0].kind, spans_s, np.rint(pages).astype(np.int64))


@final
class CollectTimes:
    """When one process's tracker was read and re-armed: what its page ages mean depends on it."""

    def __init__(self) -> None:
        self._rearmed_s: list[float] = []
        self._looked_s: list[float] = []

    def arm(self, now_s: float) -> None:
        """The first epoch begins, or counting begins again."""
        self._rearmed_s = [now_s]
        self._looked_s = []

    def collect(self, now_s: float, *, rearmed: bool) -> None:
        """Pages were stamped `now_s`; times never descend."""
        if rearmed:
            self._rearmed_s = _thinned([*self._rearmed_s, now_s])
            self._looked_s = []
        else:
            self._looked_s = _thinned([*self._looked_s, now_s])

    def curve(self, ages: PageAges, dumpable: PageSet) -> WorkingSetCurve:
        """The curve as of the last collect.

        Args:
            ages: stamped at those collects.
            dumpable: only these pages count: what a checkpoint would save.
        """
        if not self._rearmed_s:
            return NO_CURVE
        if ages.pages <= dumpable:  # nearly always, and told more cheaply than counted
            pages = ages.ends - ages.starts
        else:
            pages = dumpable.count_within(ages.starts, ages.ends)
        if self._looked_s:
            times_s = np.array([self._rearmed_s[-1], *self._looked_s])
            found = _between(times_s, ages.stamps_s, pages)
            return WorkingSetCurve(CurveKind.GROWTH, times_s - times_s[0], np.cumsum(found))
        times_s = np.array(self._rearmed_s)
        found = _between(times_s, ages.stamps_s, pages)
        # Newest first; a window that reaches back to re-arming j holds all that was stamped after it.
        counted = np.concatenate(([0], np.cumsum(found[:0:-1])))
        return WorkingSetCurve(CurveKind.RECENT, (times_s[-1] - times_s)[::-1], counted)


def _between(times_s: FloatArray, stamps_s: FloatArray, pages: Int64Array) -> Int64Array:
    """How many pages have a stamp after times[i - 1], up to times[i]; 0 for the first."""
    at = np.searchsorted(times_s, stamps_s, side="left")
    # Stamps later than the last collect there cannot be; up to the first they are of no window.
    found = np.bincount(at, weights=pages, minlength=len(times_s) + 1)[: len(times_s)].astype(np.int64)
    found[0] = 0
    return found


def _thinned(times_s: list[float]) -> list[float]:
    """The same with every second of the older half left out, once there are too many; ends stay."""
    if len(times_s) <= MOST_KNOTS:
        return times_s
    older = MOST_KNOTS // 2
    return times_s[:older:2] + times_s[older:]
