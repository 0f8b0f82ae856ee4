"""What is told of two targets side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from engine.forecast.plans.comparison import Harder, compare
from engine.forecast.plans.rounds import Plan
from engine.forecast.plans.verdict import Forecast
from engine.forecast.writes.rhythm import State
from engine.printable import printable
from engine.tracking.curve import NO_CURVE
from engine.units import NOTHING, say_bytes, say_duration, say_times
from tui.view.facts import Facts
from tui.view.made import TREND_TICKS
from widgets.curve_pair import NamedCurve
from widgets.measured import has_rates, is_tracked
from widgets.side_by_side import Pair

_FIGURE_CELLS: Final = 12
"""Figures are justified in, so that those of a column stand below one another."""
_SPANS: Final = ((1.0, "written within 1 s"), (10.0, "within 10 s"), (60.0, "within 1 min"))


def name_of(target: Facts) -> str:
    """As in "postgres 40"."""
    return f"{printable(target.command) or '…'} {target.pid}"


def curve_of(target: Facts) -> NamedCurve:
    """Its working-set curve, as of the tick in view."""
    sample = target.look.sample
    if sample is None or not is_tracked(sample):
        return NamedCurve(name_of(target))
    return NamedCurve(name_of(target), sample.curve, sample.page_bytes)


def sentence(first: Facts, second: Facts) -> tuple[str, bool]:
    """Which of the two is harder to dump, and whether that is known."""
    found = compare(first.look.advice.forecast, second.look.advice.forecast)
    match found.harder:
        case Harder.FIRST:
            return f"{name_of(first)} is harder to dump: {found.why}", True
        case Harder.SECOND:
            return f"{name_of(second)} is harder to dump: {found.why}", True
        case Harder.NEITHER:
            return f"Both are about as hard to dump: {found.why}", True
    idle = [target for target in (first, second) if not target.is_armed]
    if idle:
        return f"Not known while {' and '.join(map(name_of, idle))} is not armed: press a", False
    return "Not known yet: a few more ticks are needed, and a look at how fast the disk is", False


def pairs_of(first: Facts, second: Facts) -> list[Pair]:
    """Figure by figure, from what is in memory to what a dump would cost."""
    both = first, second
    forecasts = first.look.advice.forecast, second.look.advice.forecast
    pairs = [
        _pair("pending", [float(target.pending_bytes) for target in both], say_bytes),
        _pair("writing now", [_rate(target) for target in both], _say_rate),
        _pair("at most, of late", [_peak(target) for target in both], _say_rate),
    ]
    pairs += [
        _pair(label, [_within(target, span_s) for target in both], say_bytes) for span_s, label in _SPANS
    ]
    now = [forecast.now if forecast.plans else None for forecast in forecasts]
    best = [forecast.best if forecast.plans else None for forecast in forecasts]
    pairs += [
        _words("rhythm", _rhythm(first), _rhythm(second)),
        _pair("stop, if dumped now", [_stop(plan) for plan in now], say_duration),
        _words("advice", _advice(forecasts[0]), _advice(forecasts[1])),
        _pair("stop, as advised", [_stop(plan) for plan in best], say_duration),
        _pair("saves in all", [plan.size_bytes.mid if plan else math.nan for plan in best], say_bytes),
        _pair("takes in all", [plan.seconds.mid if plan else math.nan for plan in best], say_duration),
    ]
    return pairs


def _pair(label: str, figures: list[float], say: Callable[[float], str]) -> Pair:
    """A pair of figures; NaN is not known."""
    first, second = ((NOTHING if math.isnan(each) else say(each)).rjust(_FIGURE_CELLS) for each in figures)
    known = not any(map(math.isnan, figures))
    return Pair(label, first, second, (figures[0], figures[1]) if known else None)


def _words(label: str, first: str, second: str) -> Pair:
    return Pair(label, first.rjust(_FIGURE_CELLS), second.rjust(_FIGURE_CELLS))


def _say_rate(bytes_per_s: float) -> str:
    return f"{say_bytes(bytes_per_s)}/s"


def _stop(plan: Plan | None) -> float:
    return plan.stopped_s.mid if plan is not None else math.nan


def _rate(target: Facts) -> float:
    sample = target.look.sample
    return sample.bytes_per_s if sample is not None and has_rates(sample) else math.nan


def _peak(target: Facts) -> float:
    rates = [point.bytes_per_s for point in target.look.history[-TREND_TICKS:]]
    return max((rate for rate in rates if not math.isnan(rate)), default=math.nan)


def _within(target: Facts, span_s: float) -> float:
    sample = target.look.sample
    curve = sample.curve if sample is not None else NO_CURVE
    if sample is None or not is_tracked(sample) or curve.window_s < span_s:
        return math.nan
    return curve.at(span_s) * sample.page_bytes


def _rhythm(target: Facts) -> str:
    rhythm = target.look.advice.rhythm
    if rhythm.state in (State.UNKNOWN, State.STEADY):
        return NOTHING if rhythm.state is State.UNKNOWN else "steady"
    return f"in a {rhythm.state.value} for {say_duration(rhythm.lasted_s)}"


def _advice(forecast: Forecast) -> str:
    if not forecast.plans:
        return NOTHING
    many = f" ({say_times(forecast.best_pre_dumps)})" if forecast.best_pre_dumps else ""
    return f"{forecast.verdict.value}{many}"
