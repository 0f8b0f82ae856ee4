"""Which of two targets is harder to dump, and by what that is judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from engine.forecast.plans.verdict import Forecast, Verdict
from engine.units import say_duration

_CLEARLY: Final = 1.25
"""Less of a difference is none: forecasts are not that good."""
_LEAST_STOP_S: Final = 0.001
_LEAST_TIME_S: Final = 0.1


class Harder(Enum):
    """The outcome."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"
    UNKNOWN = "unknown"
    """Of one of them nothing is foreseen yet."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which is harder, and why in words that fit behind its name: "stops for 410 ms against 14 ms"."""

    harder: Harder
    why: str = ""


def compare(first: Forecast, second: Forecast) -> Comparison:
    """Judge by the first of these in which the two clearly differ, each under the plan advised for it:

    whether pre-dumps converge; how long the target stops; how long the whole chain takes.
    """
    if not first.plans or not second.plans:
        return Comparison(Harder.UNKNOWN)
    hopeless = [each.verdict is Verdict.WILL_NOT_CONVERGE for each in (first, second)]
    if hopeless[0] is not hopeless[1]:
        return Comparison(
            Harder.FIRST if hopeless[0] else Harder.SECOND, "it writes faster than pre-dumps can save"
        )
    stops_s = first.best.stopped_s.mid, second.best.stopped_s.mid
    if _differ(*stops_s, _LEAST_STOP_S):
        return _larger(*stops_s, "stops for {} against {}")
    takes_s = first.best.seconds.mid, second.best.seconds.mid
    if _differ(*takes_s, _LEAST_TIME_S):
        return _larger(*takes_s, "stops for about as long, but takes {} against {}")
    return Comparison(
        Harder.NEITHER, f"they stop for {say_duration(stops_s[0])} and {say_duration(stops_s[1])}"
    )


def _differ(first: float, second: float, least: float) -> bool:
    small, large = sorted((first, second))
    return large - small >= least and large > _CLEARLY * small


def _larger(first_s: float, second_s: float, why: str) -> Comparison:
    harder = Harder.FIRST if first_s > second_s else Harder.SECOND
    small, large = sorted((first_s, second_s))
    return Comparison(harder, why.format(say_duration(large), say_duration(small)))
