"""When to tick a few times in quick succession, and how far apart.

Ticks an interval apart do not show how many pages are written in a shorter time, and links are shorter.
A close look (`CLOSE_LOOK_S`: five ticks in 0.6 s) shows it, and holds for about a minute. One is taken of a
target that has just come to be known, one when a forecast says that it is rough, and one of the first burst
and the first lull.
"""

from __future__ import annotations

import math
from typing import Final, final

from engine.forecast.writes.expectation import CLOSE_LOOK_S
from engine.forecast.writes.look import Look
from engine.forecast.writes.rhythm import Rhythm, State
from engine.tracking.curve import CurveKind

REST_S: Final = 5.0
"""No close look is taken sooner after the last one."""
_FIRST_AFTER: Final = 2
"""The first is taken after so many ticks."""
_STALE_S: Final = 60.0
_SHORTEST_GAPS: Final = 3.0
"""A gap is no shorter than this many ticks take."""


@final
class CloseLook:
    """Counts ticks, and says when they must come close together. Not locked."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._gaps: tuple[float, ...] = ()
        self._at = 0
        self._seen = 0
        self._time_s = -math.inf
        self._last_s = -math.inf
        self._looked_at: dict[State, float] = {}
        self._state = State.UNKNOWN
        self._shortest_s = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether one has begun and is not over."""
        return self._at < len(self._gaps)

    def gap_s(self, interval_s: float) -> float:
        """From the last tick to the next, if ticks are usually `interval_s` apart."""
        return min(self._gaps[self._at], interval_s) if self.is_under_way else interval_s

    def want(self, time_s: float) -> None:
        """Begin one with the next tick, unless the last was just now."""
        if time_s - self._last_s >= REST_S and not self.is_under_way and self._seen:
            self._begin()

    def link_made(self, time_s: float) -> None:
        """A pre-dump was made. The next link should not wait for ticks, and shows as much as they would."""
        self._gaps, self._at = (), 0
        self._last_s = time_s

    def ticked(self, look: Look, rhythm: Rhythm) -> None:
        """A tick was made, and this is known after it."""
        self._seen += 1
        self._time_s, self._state = look.time_s, rhythm.state
        if look.curve.kind is CurveKind.GROWTH:
            self._gaps, self._at = (), 0  # it would show nothing
            return
        if self.is_under_way:
            self._at += 1
            if self._at == len(self._gaps):
                self._last_s = self._looked_at[self._state] = look.time_s
            return
        self._shortest_s = _SHORTEST_GAPS * look.tick_s
        if self._seen == _FIRST_AFTER:
            self._begin()
        elif self._seen > _FIRST_AFTER and self._state in (State.BURST, State.LULL):
            known_s = self._looked_at.get(self._state, -math.inf)
            if look.time_s - known_s >= _STALE_S:
                self.want(look.time_s)

    def _begin(self) -> None:
        gaps = tuple(gap_s for gap_s in CLOSE_LOOK_S if gap_s >= self._shortest_s)
        self._gaps, self._at = gaps, 0
        if not gaps:
            self._last_s = self._time_s
