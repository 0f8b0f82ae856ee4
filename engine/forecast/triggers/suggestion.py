"""Conditions that suit a forecast: values for a user to begin with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.forecast.triggers.conditions import AtTime, Condition, Every, QuietFor, StopBelow
from engine.forecast.writes.rhythm import Rhythm, State

DEADLINE_S: Final = 600.0
_QUIET_S: Final = 3.0
_PART_OF_LULL: Final = 0.4
"""Waiting for less of a lull than this, one might take a pause for one; for more, the lull is over."""
_EVERY_S: Final = 10.0
_IDLE_FACTOR: Final = 4.0
"""Pre-dumps should take no more than this part of the time between them."""
_ROOM: Final = 1.2
"""How far above the foreseen stop a limit must be to be reached."""
_STEPS: Final = (1.0, 2.0, 3.0, 5.0, 10.0)
_AHEAD_MIN: Final = 15
_ROUND_MIN: Final = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A condition of each kind, and which of them suits best."""

    stop: StopBelow
    quiet: QuietFor
    at: AtTime
    every: Every
    best: type[Condition]
    deadline_s: float = DEADLINE_S


def suggest(forecast: Forecast, rhythm: Rhythm, clock: datetime) -> Suggestion:
    """What one might wait for.

    The limit for the stop is the budget, or a round figure above what the best plan needs. To be quiet for is
    a part of the usual lull. A quiet moment suits best where there are bursts and lulls, else a short stop.

    Args:
        forecast: may know nothing yet.
        rhythm: may know nothing yet.
        clock: local time.
    """
    stop_s, every_s = forecast.budget_s or STOP_BUDGET_S, _EVERY_S
    if forecast.plans:
        reached_s = forecast.best.stopped_s.mid
        if forecast.verdict is Verdict.WAIT and forecast.in_lull is not None:
            reached_s = forecast.in_lull.stopped_s.mid
        if reached_s * _ROOM > stop_s or forecast.budget_s == 0:
            stop_s = round_up(reached_s * _ROOM)
        first_s = forecast.plans[-1].links[0].seconds.mid
        every_s = max(_EVERY_S, round_up(_IDLE_FACTOR * first_s))
    lulls = rhythm.lengths(State.LULL)
    quiet_s = round_down(_PART_OF_LULL * lulls.mid) if lulls is not None and lulls.mid > 0 else _QUIET_S
    has_lulls = rhythm.state in (State.BURST, State.LULL)
    best: type[Condition] = QuietFor if has_lulls and forecast.verdict is not Verdict.PRE_DUMP else StopBelow
    return Suggestion(
        StopBelow(stop_s), QuietFor(quiet_s), AtTime(_soon(clock)), Every(every_s), best, DEADLINE_S
    )


def round_up(seconds: float) -> float:
    """The next of 1, 2, 3, 5, 10, … times a power of ten that is not below."""
    scale = 10.0 ** math.floor(math.log10(seconds))
    return next(_exact(step * scale) for step in _STEPS if step * scale >= seconds * (1 - 1e-9))


def round_down(seconds: float) -> float:
    """The next of them that is not above."""
    scale = 10.0 ** math.floor(math.log10(seconds))
    return next(_exact(step * scale) for step in reversed(_STEPS) if step * scale <= seconds * (1 + 1e-9))


def _exact(seconds: float) -> float:
    """Without what multiplication leaves: 0.3 and not 0.30000000000000004."""
    return float(f"{seconds:.6g}")


def _soon(clock: datetime) -> time:
    """In a quarter of an hour or a little more, at a round minute."""
    then = clock + timedelta(minutes=_AHEAD_MIN + _ROUND_MIN)
    return then.replace(minute=then.minute - then.minute % _ROUND_MIN, second=0, microsecond=0).time()
