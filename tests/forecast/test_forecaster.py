"""The one that keeps history, costs and truth together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.checkpoint.copy_buffer import KEPT_BYTES
from engine.forecast.forecaster import HISTORY_S, Forecaster
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.images.layout import LinkKind
from tests.forecast.histories import MIB, costs, curve, link, look

BUDGET_S = 0.1
COSTS = replace(costs(), kept_bytes=KEPT_BYTES)
"""With memory to copy to at hand, as after a link or two."""
CURVE = curve({0: 0, 1: 1000, 2: 2000, 50: 50_000})


def watched(count: int = 10) -> Forecaster:
    forecaster = Forecaster()
    for at in range(1, count + 1):
        forecaster.look(look(float(at), 1000, of=CURVE))
    return forecaster


def forecast_of(forecaster: Forecaster, now_s: float | None = None) -> Forecast:
    return forecaster.forecast(COSTS, BUDGET_S, now_s)


def test_before_the_first_tick_nothing_is_known() -> None:
    assert forecast_of(Forecaster()).verdict is Verdict.UNKNOWN
    assert Forecaster().next_link(COSTS, LinkKind.DUMP) is None


def test_without_costs_there_is_a_rhythm_and_no_forecast() -> None:
    forecaster = Forecaster()
    for at in range(1, 11):
        forecaster.look(look(float(at), 1000, of=CURVE))
    assert forecaster.forecast(None, BUDGET_S).verdict is Verdict.UNKNOWN
    assert forecaster.next_link(None, LinkKind.DUMP) is None
    assert forecaster.rhythm.pages_per_s == 1000


def test_the_next_link_is_the_first_of_the_plan() -> None:
    forecaster = watched()
    pre_dump, dump = (
        forecaster.next_link(COSTS, LinkKind.PRE_DUMP),
        forecaster.next_link(COSTS, LinkKind.DUMP),
    )
    assert pre_dump is not None
    assert dump is not None
    assert pre_dump.pages.mid == dump.pages.mid == 100_000
    assert dump.stopped_s.mid == pytest.approx(forecast_of(forecaster).now.stopped_s.mid)


def test_after_a_link_it_waits_for_the_next_tick() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100 * MIB, 0.5), ended_s=10.6)
    assert forecast_of(forecaster).verdict is Verdict.UNKNOWN
    forecaster.look(look(11.0, 1000, of=CURVE, pending=900))
    assert forecast_of(forecaster).now.dump.pages.mid == pytest.approx(900)


def test_what_is_pending_goes_on_growing_until_the_link() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100 * MIB, 0.5), ended_s=10.5)
    forecaster.look(look(11.0, 1000, of=CURVE, pending=1000))
    assert forecast_of(forecaster, 11.4).now.dump.pages.mid == pytest.approx(1400)


def test_a_new_chain_has_everything_pending() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.DUMP, 100 * MIB, 2.0, stopped_s=0.4), ended_s=10.5)
    forecaster.forget_links()
    forecaster.look(look(11.0, 1000, of=CURVE))
    assert forecast_of(forecaster, 13.0).now.dump.pages.mid == 100_000


def test_each_forecast_is_kept_beside_its_link() -> None:
    forecaster = watched()
    foreseen = forecaster.next_link(COSTS, LinkKind.PRE_DUMP)
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100_000 * 4096, 0.5), 10.5, foreseen)
    assert forecaster.truth.pages.count == 1
    assert forecaster.truth.pages.median == 0


def test_old_ticks_are_forgotten() -> None:
    forecaster = Forecaster()
    for at in range(0, 1000, 2):
        forecaster.look(look(float(at), 10, 2.0, of=CURVE))
    assert forecaster.looks[0].time_s >= 998 - HISTORY_S


def test_memory_that_grows_goes_on_growing() -> None:
    forecaster = Forecaster()
    for at in range(1, 11):
        forecaster.look(
            replace(look(float(at), 500, of=CURVE, present=1000 + 500 * at), pending_pages=500 * at)
        )
    assert forecast_of(forecaster, 12.0).now.dump.pages.mid == pytest.approx(5000 + 2 * 500)
