"""How many distinct pages the target will write in the next t seconds, judged by what it wrote before.

The curve of each past sample tells U(t) for windows that ended with that sample. The best evidence are past
windows of the same length that began as things are now: in the present spell, or at the same age of an
earlier burst or lull. Where no window is long enough, or none began alike, the newest curve goes on with
its last slope. That is more than will be written, because working sets saturate.

A curve says nothing of windows shorter than a tick: before its first knot it may bend in any way. Its shape
there is taken from ticks that were closer together, around links or in a close look; where there are none,
the range says how little is known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from engine.forecast.estimate import NOTHING, Estimate
from engine.forecast.writes.look import Look
from engine.forecast.writes.rhythm import Rhythm, State
from engine.tracking.curve import CurveKind, WorkingSetCurve

CLOSE_LOOK_S: Final = (0.32, 0.16, 0.08, 0.04, 0.02)
"""Gaps between ticks, seconds, that make a curve exact down to the shortest of them."""

_MOST_WINDOWS: Final = 60
_NEWEST: Final = 5
_ENOUGH: Final = 3
_AGE_TOLERANCE: Final = 0.25
_TAIL: Final = 0.3
_LEAST_SPREAD: Final = (0.96, 1.04)
_FEW_SPREAD: Final = (0.85, 1.2)
_KEYS: Final = 20
_SPAN_KEYS: Final = 80
_NO_KEY: Final = np.iinfo(np.int64).min
_WHOLE: Final = Estimate.exactly(1.0)


@final
class Expectation:
    """U(t) for windows that begin now or later. Made of a history; evaluating it changes nothing."""

    def __init__(self, looks: Sequence[Look], rhythm: Rhythm, state: State | None = None) -> None:
        """Judge by these looks.

        Args:
            looks: oldest first.
            rhythm: of the same looks.
            state: foresee from the beginning of a spell of this state on, instead of from now on.
        """
        known = [look for look in looks if look.curve.window_s > 0]
        self._is_growth = bool(known) and known[-1].curve.kind is CurveKind.GROWTH
        known = [look for look in known if look.curve.kind is known[-1].curve.kind]
        if self._is_growth:
            known = _last_of_each_epoch(known)
        known = known[-_MOST_WINDOWS:]
        self._ends_s = np.array([look.time_s for look in known])
        self._rhythm = rhythm
        self._is_now = state is None
        self._state = state or rhythm.state
        self._curves = _Curves([look.curve for look in known], self._reach_s())
        self._age_s = rhythm.lasted_s if state is None else 0.0
        self._interval_s = known[-1].interval_s if known else 0.0
        self._cache: dict[tuple[float, float], Estimate] = {}

    @property
    def finest_s(self) -> float:
        """The shortest window that was ever seen; below it a forecast is rough. 0 if nothing is known."""
        return float(self._curves.finest_s.min()) if len(self._curves) else 0.0

    def pages(self, span_s: float, begin_s: float = 0.0) -> Estimate:
        """Distinct pages written in a window.

        Args:
            span_s: how long it is.
            begin_s: from now to its beginning.
        """
        if not len(self._curves) or span_s <= 0:
            return NOTHING
        # Rounds that shrink no more differ by a hair, and each costs a millisecond: near spans share one.
        near_s = math.exp(round(_SPAN_KEYS * math.log(span_s)) / _SPAN_KEYS)
        key = near_s, begin_s if self._swings else 0.0
        if key not in self._cache:
            self._cache[key] = self._estimate(*key)
        found, scale = self._cache[key], span_s / near_s
        return Estimate(found.low * scale, found.mid * scale, found.high * scale)

    def further(self, since_s: float, span_s: float) -> Estimate:
        """Pages written in the next `span_s` that were not among those of the last `since_s`."""
        if not len(self._curves) or span_s <= 0:
            return NOTHING
        newest = self._curves.newest
        if since_s + span_s > newest.window_s:
            grown = _tail_slope(newest) * span_s
        else:
            grown = newest.at(since_s + span_s) - newest.at(since_s)
        # Never more than is written at all; it may well be nothing.
        most = self.pages(span_s)
        mid = min(max(grown, 0.0), most.mid)
        return Estimate.around(0.0, mid, min(2 * mid, most.high))

    @property
    def _swings(self) -> bool:
        return not self._is_growth and self._rhythm.state in (State.BURST, State.LULL)

    def _estimate(self, span_s: float, begin_s: float) -> Estimate:
        reaching = np.flatnonzero(self._curves.windows_s >= span_s)
        values, share = self._curves.at(span_s, reaching)
        told = values
        if self._swings:
            # What lies below a curve's first knot is known by all that lies up to it.
            begins_s = self._ends_s[reaching] - np.maximum(span_s, self._curves.finest_s[reaching])
            told = values[self._alike(begins_s - begin_s, begin_s + span_s)]
        if len(told) >= (_ENOUGH if self._swings else 1):
            found = _spread(told)
        else:
            found = self._going_on(span_s, values)
        if share.mid <= 0:
            return found
        return Estimate.around(
            found.low * share.low / share.mid, found.mid, found.high * share.high / share.mid
        )

    def _alike(self, moments_s: NDArray[np.float64], horizon_s: float) -> NDArray[np.int64]:
        """Which of these moments were as it is now (or, if a state was asked for, as it begins).

        The most alike come last.
        """
        spells = self._rhythm.spells
        at, ages_s = self._rhythm.phases(moments_s)
        present = np.flatnonzero(at == len(spells) - 1)
        if self._is_now and len(present) >= _ENOUGH and self._lasts(horizon_s):
            return present
        states = np.array([spell.state is self._state for spell in spells])
        tolerance_s = max(1.01 * self._interval_s, _AGE_TOLERANCE * self._age_s)
        unlike_s = np.abs(ages_s - self._age_s)
        # How old the first spell was, nobody knows.
        alike = np.flatnonzero((at > 0) & states[at] & (unlike_s <= tolerance_s))
        return np.asarray(alike[np.argsort(-unlike_s[alike], kind="stable")])

    def _reach_s(self) -> NDArray[np.float64]:
        """For each look how far back its spell goes, if that is of the state in question.

        What bursts are like in short is not told by lulls, nor by a window that holds the end of one.
        """
        if not self._swings:
            return np.full(len(self._ends_s), np.inf)
        at, ages_s = self._rhythm.phases(self._ends_s)
        states = np.array([spell.state is self._state for spell in self._rhythm.spells])
        return np.where(states[at], ages_s, 0.0)

    def _lasts(self, horizon_s: float) -> bool:
        remaining = self._rhythm.remaining_s
        return remaining is None or remaining.mid >= horizon_s

    def _going_on(self, span_s: float, seen: NDArray[np.float64]) -> Estimate:
        """The newest curve, as far as it is of the present spell, going on with its last slope."""
        newest = self._curves.newest
        if self._swings:
            if not self._is_now:
                return self._at_level(span_s, seen)
            newest = newest.up_to(max(self._age_s, newest.finest_s))
        if span_s <= newest.window_s:
            values, _ = self._curves.at(span_s, np.array([len(self._curves) - 1]))
            few = float(values[0])
            return Estimate.around(few * _FEW_SPREAD[0], few, few * _FEW_SPREAD[1])
        beyond_s = span_s - newest.window_s
        low, slope = float(newest.pages[-1]), _tail_slope(newest)
        mid, high = low + slope * beyond_s, low + 1.5 * slope * beyond_s
        if len(seen):
            # As long as this was watched for before, it was never more than that.
            mid, high = min(mid, float(seen.max())), max(high, float(seen.max()))
        return Estimate.around(low, mid, high)

    def _at_level(self, span_s: float, seen: NDArray[np.float64]) -> Estimate:
        """By the rate of spells of the asked state, where no window tells."""
        rates = [spell.pages_per_s for spell in self._rhythm.spells if spell.state is self._state]
        mid = float(np.median(rates)) * span_s if rates else 0.0
        return Estimate.around(0.5 * mid, mid, max(2 * mid, float(seen.max()) if len(seen) else 0.0))


class _Curves:
    """Many curves, evaluated together."""

    def __init__(self, curves: list[WorkingSetCurve], reach_s: NDArray[np.float64]) -> None:
        """Take these.

        Args:
            curves: oldest first.
            reach_s: up to which span each tells how curves bend.
        """
        self._curves = curves
        self._reach_s = reach_s
        self.windows_s = np.array([curve.window_s for curve in curves])
        self.finest_s = np.array([curve.finest_s for curve in curves])
        self._shares: dict[tuple[int, int], Estimate] = {}
        if curves:
            # One behind the other on one axis, so that a single call interpolates in all of them.
            self._offset_s = float(self.windows_s.max()) + 1.0
            starts = [at * self._offset_s for at in range(len(curves))]
            self._spans_s = np.concatenate(
                [curve.spans_s + start for curve, start in zip(curves, starts, strict=True)]
            )
            self._pages = np.concatenate([curve.pages for curve in curves])

    def __len__(self) -> int:
        return len(self._curves)

    @property
    def newest(self) -> WorkingSetCurve:
        return self._curves[-1]

    def at(self, span_s: float, which: NDArray[np.int64]) -> tuple[NDArray[np.float64], Estimate]:
        """U(t) by some of them, none with a shorter window.

        Below a curve's first knot it is a share of what is there. The second result says how well that share
        is known, for the newest of them.
        """
        finest_s = self.finest_s[which]
        values = self._interpolated(np.maximum(span_s, finest_s), which)
        keys = np.where(finest_s > span_s, np.rint(_KEYS * np.log(finest_s)), _NO_KEY).astype(np.int64)
        share = _WHOLE
        for key in np.unique(keys[keys != _NO_KEY]).tolist():
            found = self._share(span_s, key)
            values[keys == key] *= found.mid
            if key == keys[-1]:
                share = found
        return values, share

    def _interpolated(self, spans_s: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.interp(spans_s + which * self._offset_s, self._spans_s, self._pages)
        return np.asarray(found, np.float64)

    def _share(self, span_s: float, key: int) -> Estimate:
        """U(t) over U(T), for a T as far as ticks were apart: never quite equally far, hence the key."""
        span_key = round(_SPAN_KEYS * math.log(span_s))
        if (span_key, key) not in self._shares:
            span_s, of_s = math.exp(span_key / _SPAN_KEYS), math.exp(key / _KEYS)
            self._shares[span_key, key] = self._find_share(span_s, of_s)
        return self._shares[span_key, key]

    def _find_share(self, span_s: float, of_s: float) -> Estimate:
        tells = (self.finest_s <= span_s) & (np.minimum(self.windows_s, self._reach_s) >= of_s)
        finer = np.flatnonzero(tells)
        whole = self._interpolated(np.full(len(finer), of_s), finer)
        finer, whole = finer[whole > 0][-_NEWEST:], whole[whole > 0][-_NEWEST:]
        if len(finer):
            shares = self._interpolated(np.full(len(finer), span_s), finer) / whole
            return Estimate(float(shares.min()), statistics.median(shares.tolist()), float(shares.max()))
        able = np.flatnonzero(self._reach_s >= 2 * self.finest_s)
        nearest = able[-1 - int(np.argmin(self.finest_s[able][::-1]))] if len(able) else -1
        finest = self._curves[nearest]
        straight, bent = _bounds_below(finest, span_s)
        scale = finest.at(finest.finest_s) / max(finest.at(of_s), 1.0)
        return Estimate(straight * scale, (straight + bent) / 2 * scale, bent * scale)


def _bounds_below(curve: WorkingSetCurve, span_s: float) -> tuple[float, float]:
    """U(t) over U(first knot) for a shorter t, if the curve only ever flattens.

    At least it lies on a straight line from nothing, at most on its next piece drawn back.
    """
    first_s, first = curve.finest_s, max(curve.at(curve.finest_s), 1.0)
    straight = span_s / first_s
    if len(curve.spans_s) < 3:
        return straight, 1.0
    slope = float(curve.pages[2] - curve.pages[1]) / float(curve.spans_s[2] - curve.spans_s[1])
    return straight, min(max(1.0 - slope * (first_s - span_s) / first, straight), 1.0)


def _tail_slope(curve: WorkingSetCurve) -> float:
    """Pages per second over the last part of a curve."""
    back_s = (1 - _TAIL) * curve.window_s
    return (curve.at(curve.window_s) - curve.at(back_s)) / (curve.window_s - back_s)


def _last_of_each_epoch(looks: Sequence[Look]) -> list[Look]:
    """Growth curves of one epoch are one curve, longer each time: the last has all of it."""
    return [
        look
        for look, following in zip(looks, [*looks[1:], None], strict=True)
        if following is None or following.curve.window_s <= look.curve.window_s
    ]


def _spread(values: NDArray[np.float64]) -> Estimate:
    """Of windows, oldest first: the newest tell the likeliest value, all of them how far it strays."""
    mid = statistics.median(values[-_NEWEST:].tolist())
    ascending = np.sort(values)
    last = len(values) - 1
    low, high = float(ascending[int(0.1 * last)]), float(ascending[-1 - int(0.1 * last)])
    least, most = _LEAST_SPREAD if len(values) >= _NEWEST else _FEW_SPREAD
    return Estimate.around(min(low, mid * least), mid, max(high, mid * most))
