"""Moments made by hand: plans that stop the target for so long, and a target that is in a burst or quiet."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Plan
from engine.forecast.plans.verdict import Forecast
from engine.forecast.triggers.armed import Moment
from engine.forecast.writes.rhythm import Rhythm, Spell, State
from engine.images.layout import LinkKind

NOON = datetime(2024, 5, 17, 12, 0, 0)


def link(kind: LinkKind, stop_s: float = 0.0, seconds: float = 1.0) -> LinkForecast:
    exactly = Estimate.exactly
    return LinkForecast(kind, exactly(1000), exactly(seconds), exactly(stop_s))


def forecast(*stops_s: float, best: int = 0, budget_s: float = 0.1) -> Forecast:
    """Plans with no pre-dump, one, two, …, and how long each stops the target."""
    plans = tuple(
        Plan((*[link(LinkKind.PRE_DUMP)] * count, link(LinkKind.DUMP, stop_s)))
        for count, stop_s in enumerate(stops_s)
    )
    return Forecast(0.0, budget_s, plans, best)


def rhythm(quiet_s: float = 0.0) -> Rhythm:
    if not quiet_s:
        return Rhythm(State.BURST, (Spell(State.BURST, 0.0, 5.0, 9000.0),))
    spells = (Spell(State.BURST, 0.0, 5.0, 9000.0), Spell(State.LULL, 5.0, 5.0 + quiet_s, 0.0))
    return Rhythm(State.LULL, spells)


def moment(at_s: float, found: Forecast | None = None, quiet_s: float = 0.0) -> Moment:
    return Moment(at_s, NOON + timedelta(seconds=at_s), found or forecast(9.0), rhythm(quiet_s))
