"""How near a trigger is to firing: for each condition, what is the case now beside what is waited for."""

from __future__ import annotations

from dataclasses import dataclass

from engine.forecast.plans.verdict import Forecast
from engine.forecast.triggers.armed import Armed, Moment
from engine.forecast.triggers.conditions import AnyOf, AtTime, Condition, Every, QuietFor, StopBelow
from engine.forecast.writes.rhythm import Rhythm, State
from engine.units import say_duration


@dataclass(frozen=True, slots=True)
class TriggerProgress:
    """One condition; texts are short and printable."""

    present: str
    """As in "stop 80 ms"."""
    wanted: str
    """As in "< 50 ms"."""
    fraction: float
    """How much of the way there it is, from 0 to 1."""


def gauges_of(armed: Armed, moment: Moment) -> tuple[TriggerProgress, ...]:
    """A gauge for each condition that a trigger waits for, in the order in which they were given."""
    condition = armed.trigger.condition
    each = condition.conditions if isinstance(condition, AnyOf) else (condition,)
    return tuple(_gauge(one, armed, moment) for one in each)


def _gauge(condition: Condition, armed: Armed, moment: Moment) -> TriggerProgress:
    match condition:
        case StopBelow(seconds):
            return _of_stop(moment.forecast, seconds)
        case QuietFor(seconds):
            return _of_quiet(moment.rhythm, seconds)
        case AtTime(clock):
            return _of_time(armed, moment, f"{clock:%H:%M:%S}" if clock.second else f"{clock:%H:%M}")
        case Every(_, stop_s):
            return _of_stop(moment.forecast, moment.forecast.budget_s if stop_s is None else stop_s)
    raise AssertionError("conditions do not nest")


def _of_stop(forecast: Forecast, limit_s: float) -> TriggerProgress:
    wanted = f"< {say_duration(limit_s)}"
    if not forecast.plans:
        return TriggerProgress("stop: unknown", wanted, 0.0)
    stop_s = forecast.now.stopped_s.mid
    return TriggerProgress(
        f"stop {say_duration(stop_s)}", wanted, min(1.0, limit_s / stop_s) if stop_s > 0 else 1.0
    )


def _of_quiet(rhythm: Rhythm, seconds: float) -> TriggerProgress:
    wanted = say_duration(seconds)
    if not rhythm.spells:
        return TriggerProgress("quiet: unknown", wanted, 0.0)
    if rhythm.quiet_s > 0:
        present = f"quiet {say_duration(rhythm.quiet_s)}"
        return TriggerProgress(present, wanted, min(1.0, rhythm.quiet_s / seconds))
    return TriggerProgress("in a burst" if rhythm.state is State.BURST else "not quiet", wanted, 0.0)


def _of_time(armed: Armed, moment: Moment, wanted: str) -> TriggerProgress:
    assert armed.due is not None
    left_s = max(0.0, (armed.due - moment.clock).total_seconds())
    waited_s = max(0.0, moment.time_s - armed.since_s)
    whole_s = waited_s + left_s
    return TriggerProgress(f"in {say_duration(left_s)}", wanted, waited_s / whole_s if whole_s > 0 else 1.0)
