"""The one that keeps history, costs and truth together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.forecast.forecaster import HISTORY_S, Forecaster
from engine.forecast.plans.verdict import Verdict
from engine.images.layout import LinkKind
from tests.forecast.histories import MIB, costs, curve, link, look

CURVE = curve({0: 0, 1: 1000, 2: 2000, 50: 50_000})


def watched(count: int = 10, budget_s: float = 0.1) -> Forecaster:
    forecaster = Forecaster(costs(), budget_s=budget_s)
    for at in range(1, count + 1):
        forecaster.look(look(float(at), 1000, of=CURVE))
    return forecaster


def test_before_the_first_tick_nothing_is_known() -> None:
    assert Forecaster(costs()).forecast().verdict is Verdict.UNKNOWN
    assert Forecaster(costs()).next_link(LinkKind.DUMP) is None


def test_without_costs_there_is_a_rhythm_and_no_forecast() -> None:
    forecaster = Forecaster()
    for at in range(1, 11):
        forecaster.look(look(float(at), 1000, of=CURVE))
    assert forecaster.forecast().verdict is Verdict.UNKNOWN
    assert forecaster.rhythm.pages_per_s == 1000


def test_the_next_link_is_the_first_of_the_plan() -> None:
    forecaster = watched()
    pre_dump, dump = forecaster.next_link(LinkKind.PRE_DUMP), forecaster.next_link(LinkKind.DUMP)
    assert pre_dump is not None
    assert dump is not None
    assert pre_dump.pages.mid == dump.pages.mid == 100_000
    assert dump.stopped_s.mid == pytest.approx(forecaster.forecast().now.stopped_s.mid)


def test_after_a_link_it_waits_for_the_next_tick() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100 * MIB, 0.5), ended_s=10.6)
    assert forecaster.forecast().verdict is Verdict.UNKNOWN
    forecaster.look(look(11.0, 1000, of=CURVE, pending=900))
    assert forecaster.forecast().now.dump.pages.mid == pytest.approx(900)


def test_what_is_pending_goes_on_growing_until_the_link() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100 * MIB, 0.5), ended_s=10.5)
    forecaster.look(look(11.0, 1000, of=CURVE, pending=1000))
    assert forecaster.forecast(now_s=11.4).now.dump.pages.mid == pytest.approx(1400)


def test_a_new_chain_has_everything_pending_and_keeps_what_was_learnt() -> None:
    forecaster = watched()
    forecaster.link_made(link(LinkKind.DUMP, 100 * MIB, 2.0, stopped_s=0.4), ended_s=10.5)
    forecaster.forget_links()
    forecaster.look(look(11.0, 1000, of=CURVE))
    foreseen = forecaster.forecast(now_s=13.0).now.dump
    assert foreseen.pages.mid == 100_000
    assert foreseen.stopped_s.mid > 0.4


def test_each_forecast_is_kept_beside_its_link() -> None:
    forecaster = watched()
    foreseen = forecaster.next_link(LinkKind.PRE_DUMP)
    forecaster.link_made(link(LinkKind.PRE_DUMP, 100_000 * 4096, 0.5), 10.5, foreseen)
    assert forecaster.truth.pages.count == 1
    assert forecaster.truth.pages.median == 0


def test_old_ticks_are_forgotten() -> None:
    forecaster = Forecaster(costs())
    for at in range(0, 1000, 2):
        forecaster.look(look(float(at), 10, 2.0, of=CURVE))
    assert forecaster.looks[0].time_s >= 998 - HISTORY_S


def test_memory_that_grows_goes_on_growing() -> None:
    forecaster = Forecaster(costs())
    for at in range(1, 11):
        forecaster.look(
            replace(look(float(at), 500, of=CURVE, present=1000 + 500 * at), pending_pages=500 * at)
        )
    assert forecaster.forecast(now_s=12.0).now.dump.pages.mid == pytest.approx(5000 + 2 * 500)


class TestAnotherPreDump:
    """Told right after a pre-dump, before any tick."""

    def after_pre_dump(self, seconds: float, budget_s: float = 0.0) -> Forecaster:
        """A target that writes 1000 pages a second; a small pre-dump takes 10 ms."""
        forecaster = watched(budget_s=budget_s)
        assert forecaster.next_link(LinkKind.PRE_DUMP, 10.0) is not None
        forecaster.link_made(link(LinkKind.PRE_DUMP, 100 * MIB, seconds), ended_s=10.0 + seconds)
        return forecaster

    def test_it_pays_after_a_long_one(self) -> None:
        assert self.after_pre_dump(5.0).another_pays(15.0)

    def test_it_does_not_pay_where_it_would_take_as_long(self) -> None:
        forecaster = self.after_pre_dump(5.0)
        for at in range(3):
            forecaster.link_made(link(LinkKind.PRE_DUMP, 40 * 4096, 0.01), ended_s=15.01 + at / 100)
        assert not forecaster.another_pays(15.03)

    def test_it_does_not_pay_once_the_stop_is_within_the_budget(self) -> None:
        assert not self.after_pre_dump(5.0, budget_s=0.5).another_pays(15.0)

    def test_before_the_first_link_and_after_a_dump_nothing_is_told(self) -> None:
        assert not watched().another_pays(10.0)
        forecaster = self.after_pre_dump(5.0)
        forecaster.link_made(link(LinkKind.DUMP, MIB, 5.0), ended_s=20.0)
        assert not forecaster.another_pays(20.0)
