"""Bursts and lulls: how a target's write rate swings, judged by its own recent past.

Rates are compared by their logarithm. The level that best divides the recent ones in two (Otsu's method)
is believed only if it parts them clearly: then rates above it are bursts, rates below it are lulls, and a
state ends only when the rate has gone most of the way to the other level (hysteresis). A rate that does
not swing is steady, whatever its height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.forecast.estimate import Estimate
from engine.forecast.writes.look import Look
from engine.tracking.curve import CurveKind

IDLE_PAGES_PER_S: Final = 64.0
"""A target that writes no more is as good as idle; p.haul, too, takes a round of 64 pages for small."""
_LEAST_LOOKS: Final = 6
_LEAST_RATIO: Final = 4.0
_LEAST_PARTED: Final = 0.75
"""Share of the variance that the two levels must explain; a bell has 0.64, two clear levels nearly 1."""
_THERE: Final = 0.65
"""How much of the way to the other level a rate must have gone to be there."""
_FULL: Final = 0.9
_SHORT: Final = 0.6


class State(Enum):
    """How the target writes now."""

    UNKNOWN = "unknown"
    """Too little has been seen."""
    STEADY = "steady"
    BURST = "burst"
    LULL = "lull"


@dataclass(frozen=True, slots=True)
class Spell:
    """A time during which the state stayed the same."""

    state: State
    start_s: float
    end_s: float
    pages_per_s: float
    """On average."""

    @property
    def length_s(self) -> float:
        """How long it lasted, or has lasted until now."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What the recent rates tell."""

    state: State = State.UNKNOWN
    spells: tuple[Spell, ...] = ()
    """Oldest first. The first may have begun before it was seen; the last is not over."""

    @property
    def pages_per_s(self) -> float:
        """The average rate of the present spell."""
        return self.spells[-1].pages_per_s if self.spells else 0.0

    @property
    def lasted_s(self) -> float:
        """For how long the present state has been seen."""
        return self.spells[-1].length_s if self.spells else 0.0

    @property
    def quiet_s(self) -> float:
        """For how long it has been in a lull, or as good as idle; 0 if it is neither."""
        quiet = self.state is State.LULL or self.pages_per_s <= IDLE_PAGES_PER_S
        return self.lasted_s if self.spells and quiet else 0.0

    def lengths(self, state: State) -> Estimate | None:
        """How long spells of this state last; None before one was seen from beginning to end."""
        return _range([spell.length_s for spell in self.spells[1:-1] if spell.state is state])

    @property
    def remaining_s(self) -> Estimate | None:
        """How much longer the present spell should last; None if nothing tells."""
        lengths = self.lengths(self.state)
        if lengths is None:
            return None
        left = [max(0.0, length - self.lasted_s) for length in (lengths.low, lengths.mid, lengths.high)]
        return Estimate(*left)

    def phases(self, times_s: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each moment its spell (-1 before the first), and for how long that had lasted by then."""
        starts = np.array([spell.start_s for spell in self.spells])
        at = np.searchsorted(starts, times_s, side="right") - 1
        ages = times_s - starts[np.maximum(at, 0)] if len(starts) else np.zeros_like(times_s)
        return np.asarray(at, np.int64), ages


def rhythm_of(looks: Sequence[Look]) -> Rhythm:
    """Judge these looks, oldest first.

    Where the tracker is only read and not re-armed nothing can be judged: pages written again do not
    show, and a busy target seems to fall quiet.
    """
    if looks and looks[-1].curve.kind is CurveKind.GROWTH:
        return Rhythm()
    telling = [look for look in looks if look.interval_s > 0 and look.curve.kind is CurveKind.RECENT]
    looks = _evenly(telling)
    if not looks:
        return Rhythm()
    rates = np.array([look.pages_per_s for look in looks])
    levels = _two_levels(rates) if len(looks) >= _LEAST_LOOKS else None
    if levels is None:
        state = State.STEADY if len(looks) >= _LEAST_LOOKS else State.UNKNOWN
        return Rhythm(state, (_spell(state, looks, looks[0].began_s, looks[-1].time_s),))
    return _spells(looks, *levels)


def _evenly(looks: Sequence[Look]) -> list[Look]:
    """The same looks, short ticks joined until each is about as long as most.

    Rates over a few milliseconds are as restless as the target's own steps.
    """
    if not looks:
        return []
    intervals_s = np.sort([look.interval_s for look in looks])
    through_s = np.cumsum(intervals_s)
    usual_s = float(intervals_s[np.searchsorted(through_s, through_s[-1] / 2)])
    even: list[Look] = []
    joined_s, written = 0.0, 0
    for look in looks:
        joined_s, written = joined_s + look.interval_s, written + look.written_pages
        if joined_s >= _SHORT * usual_s:
            if look.curve.window_s >= joined_s:
                written = round(look.curve.at(joined_s))  # pages written in two of them count once
            even.append(replace(look, interval_s=joined_s, written_pages=written))
            joined_s, written = 0.0, 0
    return even


def _two_levels(rates: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float] | None:
    """The rates as logarithms, and a low and a high level among them; None if they do not part."""
    floor = max(IDLE_PAGES_PER_S, 0.01 * float(np.quantile(rates, 0.9)))
    heights = np.log(rates + floor)
    ascending = np.sort(heights)
    count = len(ascending)
    below = np.arange(1, count)
    sums = np.cumsum(ascending)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (count - below)
    between = below * (count - below) * (high - low) ** 2 / count**2
    # A single odd tick on either side is no state.
    between[[0, -1]] = 0.0
    best = int(np.argmax(between))
    if between[best] < _LEAST_PARTED * float(heights.var()) or high[best] - low[best] < np.log(_LEAST_RATIO):
        return None
    return heights, float(np.median(ascending[: best + 1])), float(np.median(ascending[best + 1 :]))


def _spells(looks: Sequence[Look], heights: NDArray[np.float64], low: float, high: float) -> Rhythm:
    to_burst = low + _THERE * (high - low)
    to_lull = high - _THERE * (high - low)
    middle = (low + high) / 2
    is_burst = bool(heights[0] > middle)
    states = []
    for height in heights.tolist():
        is_burst = height >= to_lull if is_burst else height > to_burst
        states.append(is_burst)
    turns = [at for at in range(1, len(states)) if states[at] is not states[at - 1]]
    rates = np.array([look.pages_per_s for look in looks])
    empty, full = (float(np.median(rates[above])) for above in (heights <= middle, heights > middle))
    edges_s = [_turn_s(looks[at - 1], looks[at], empty, full, into_burst=states[at]) for at in turns]
    # A burst within one tick has both its edges there.
    edges_s = np.maximum.accumulate(edges_s).tolist()
    bounds_s = [looks[0].began_s, *edges_s, looks[-1].time_s]
    spells = [
        _spell(State.BURST if states[first] else State.LULL, looks[first:end], start_s, end_s)
        for first, end, start_s, end_s in zip(
            [0, *turns], [*turns, len(looks)], bounds_s, bounds_s[1:], strict=False
        )
    ]
    return Rhythm(spells[-1].state, tuple(spells))


def _turn_s(before: Look, after: Look, empty: float, full: float, *, into_burst: bool) -> float:
    """When between two ticks a burst began or ended: a tick that it does not fill has less than its rate."""
    shares = [min(1.0, max(0.0, (look.pages_per_s - empty) / (full - empty))) for look in (before, after)]
    inner, outer = (after, before) if into_burst else (before, after)
    inner_share, outer_share = (shares[1], shares[0]) if into_burst else shares
    burst_s = inner_share * inner.interval_s
    if inner_share > _FULL:
        burst_s += outer_share * outer.interval_s
    return after.time_s - burst_s if into_burst else before.began_s + burst_s


def _spell(state: State, looks: Sequence[Look], start_s: float, end_s: float) -> Spell:
    written = sum(look.written_pages for look in looks)
    return Spell(state, start_s, end_s, written / (end_s - start_s) if end_s > start_s else 0.0)


def _range(values: Sequence[float]) -> Estimate | None:
    if not values:
        return None
    low, mid, high = np.quantile(values, (0.1, 0.5, 0.9))
    return Estimate(float(low), float(mid), float(high))
