"""Chains foreseen from a curve and a cost model, against the same arithmetic done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.link import After, Engine
from engine.forecast.plans.rounds import Outset, plan
from engine.forecast.plans.verdict import Forecast, Verdict, foresee
from engine.forecast.writes.expectation import Expectation
from engine.forecast.writes.rhythm import rhythm_of
from engine.images.layout import LinkKind
from engine.tracking.curve import CurveKind
from tests.forecast.histories import MIB, costs, curve, link, look

PAGES_PER_MIB = MIB // 4096


def outset(points: dict[float, int], **more: int) -> Outset:
    """After twenty equal ticks with this curve."""
    looks = [look(float(at), of=curve(points), **more) for at in range(1, 21)]
    return Outset(looks[-1], Expectation(looks, rhythm_of(looks)))


def judged(points: dict[float, int], budget_s: float = 0.1, **more: float) -> Forecast:
    at = outset(points)
    return foresee(at, costs(**more), rhythm_of([at.look]), budget_s)


def test_each_round_holds_what_is_written_while_the_one_before_is_made() -> None:
    at = outset({0: 0, 1: 10_000, 100: 1_000_000}, present=1_000_000, pending=100 * PAGES_PER_MIB)
    foreseen = plan(at, costs(), 2)
    first_s = 0.01 + 100 / 1000
    second_pages = 10_000 * first_s
    second_s = 0.01 + second_pages / PAGES_PER_MIB / 1000
    third_pages = 10_000 * second_s
    assert [each.pages.mid for each in foreseen.links] == pytest.approx(
        [100 * PAGES_PER_MIB, second_pages, third_pages], rel=0.01
    )
    assert foreseen.stopped_s.mid == pytest.approx(0.002 + third_pages / PAGES_PER_MIB / 4000, rel=0.01)
    assert [each.kind for each in foreseen.links] == [LinkKind.PRE_DUMP] * 2 + [LinkKind.DUMP]
    assert foreseen.size_bytes.mid == pytest.approx(sum(each.pages.mid for each in foreseen.links) * 4096)
    assert foreseen.seconds.mid == pytest.approx(sum(each.seconds.mid for each in foreseen.links))


def test_a_link_never_holds_more_than_there_is() -> None:
    at = outset({0: 0, 1: 50_000}, present=60_000)
    assert plan(at, costs(disk_mib_per_s=10), 1).dump.pages.high == 60_000


def test_what_is_pending_grows_by_what_was_not_pending_yet() -> None:
    looks = [look(float(at), of=curve({0: 0, 1: 1000, 2: 2000, 9: 9000}), pending=500) for at in range(1, 9)]
    expectation = Expectation(looks, rhythm_of(looks))
    early = Outset(looks[-1], expectation, delay_s=1.0, link_age_s=2.0)
    assert early.pending(0.0).mid == 1500
    saturated = [look(9.0, of=curve({0: 0, 1: 500, 9: 500}), pending=500)]
    late = Outset(saturated[-1], Expectation(saturated, rhythm_of(saturated)), delay_s=1.0, link_age_s=2.0)
    assert late.pending(0.0).mid == 500


def test_what_a_dump_saves_anyway_comes_on_top_but_for_a_first_link_which_has_it() -> None:
    at = outset({0: 0, 1: 10_000, 100: 1_000_000}, present=1_000_000, pending=5000)
    without, anyway = costs(), replace(costs(), anyway_pages=300)
    assert plan(at, anyway, 1).dump.pages.mid == plan(at, without, 1).dump.pages.mid + 300
    assert plan(at, anyway, 0).dump.pages.mid == plan(at, without, 0).dump.pages.mid
    begun = replace(at, link_age_s=1.0)
    assert plan(begun, anyway, 0).dump.pages.mid == plan(begun, without, 0).dump.pages.mid + 300


@given(
    st.lists(st.integers(0, 20_000), min_size=2, max_size=8),
    st.floats(5, 5000),
    st.floats(0.0, 0.5),
    st.integers(0, 5),
)
def test_ranges_hold_their_middles_and_nothing_is_negative(
    steps: list[int], disk: float, link_s: float, pre_dumps: int
) -> None:
    points, pages = {0.0: 0}, 0
    for at, step in enumerate(steps, start=1):
        pages += step
        points[float(at)] = pages
    foreseen = plan(outset(points), costs(disk_mib_per_s=disk, link_s=link_s), pre_dumps)
    for each in foreseen.links:
        for estimate in (each.pages, each.seconds, each.stopped_s):
            assert 0 <= estimate.low <= estimate.mid <= estimate.high


class TestVerdict:
    """What to do, for curves whose answer is plain."""

    def test_a_short_stop_is_taken_at_once(self) -> None:
        assert judged({0: 0, 1: 100}, budget_s=1.0).verdict is Verdict.DUMP_NOW
        assert judged({0: 0, 1: 100}, budget_s=1.0).text == "dump now: stops for 100 ms"

    def test_the_fewest_pre_dumps_that_meet_the_budget_are_advised(self) -> None:
        found = judged({0: 0, 1: 5000, 100: 500_000}, budget_s=0.02)
        assert found.verdict is Verdict.PRE_DUMP
        assert found.best_pre_dumps == 1
        assert found.meets_budget
        assert found.text.startswith("pre-dump once, then dump: stops for ")

    def test_without_a_budget_the_shortest_stop_is_sought(self) -> None:
        found = judged({0: 0, 1: 40_000, 2: 80_000}, budget_s=0.0)
        shortest = min(each.stopped_s.mid for each in found.plans)
        assert found.best.stopped_s.mid <= 1.05 * shortest
        assert found.best_pre_dumps >= 2

    def test_a_budget_that_cannot_be_met_is_said_to_be_missed(self) -> None:
        found = judged({0: 0, 1: 5000, 100: 500_000}, budget_s=0.001)
        assert found.verdict is Verdict.PRE_DUMP
        assert not found.meets_budget
        assert "over the budget of 1 ms" in found.text

    def test_who_writes_faster_than_the_disk_does_not_converge(self) -> None:
        found = judged({0: 0, 0.1: 90_000, 10: 100_000}, budget_s=0.01, disk_mib_per_s=200)
        assert found.verdict is Verdict.WILL_NOT_CONVERGE
        assert not found.converges
        assert "disk takes 200" in found.text
        assert found.written_bytes_per_s == pytest.approx(
            found.plans[1].dump.size_bytes.mid / found.plans[1].dump.after_s, rel=0.01
        )

    def test_a_costly_stop_is_not_blamed_on_the_disk(self) -> None:
        looks = [look(float(at), of=curve({0: 0, 1: 100, 9: 100}), pending=100) for at in range(1, 9)]
        at = Outset(looks[-1], Expectation(looks, rhythm_of(looks)), link_age_s=3.0)
        found = foresee(at, costs(stop_s=0.2), rhythm_of(looks), budget_s=0.1)
        assert found.verdict is Verdict.DUMP_NOW
        assert "over the budget of 100 ms" in found.text

    def test_nothing_is_said_before_anything_is_known(self) -> None:
        assert Forecast(0.0, 0.1).verdict is Verdict.UNKNOWN
        assert not Forecast(0.0, 0.1).meets_budget
        assert "not known yet" in Forecast(0.0, 0.1).text

    def test_the_policies_of_others_are_told_beside_it(self) -> None:
        others = dict(judged({0: 0, 1: 5000, 100: 500_000}).others)
        assert set(others) == {"p.haul", "LXD"}
        assert all(1 <= count <= 8 for count in others.values())


class TestExpectation:
    """Windows judged by past windows."""

    def test_short_windows_take_their_shape_from_ticks_that_were_close(self) -> None:
        # All of it is written within the first tenth of a second, again and again.
        close = look(1.0, of=curve({0: 0, 0.1: 900, 1: 1000, 2: 1000}))
        looks = [close, *(look(float(at), of=curve({0: 0, 1: 1000, 2: 1000})) for at in range(2, 8))]
        expectation = Expectation(looks, rhythm_of(looks))
        assert expectation.finest_s == 0.1
        assert expectation.pages(0.1).mid == pytest.approx(900, rel=0.03)

    def test_where_no_ticks_were_close_the_range_says_so(self) -> None:
        looks = [look(float(at), of=curve({0: 0, 1: 1000, 2: 1000})) for at in range(1, 8)]
        found = Expectation(looks, rhythm_of(looks)).pages(0.1)
        assert found.low <= 100
        assert found.high >= 1000

    def test_beyond_its_window_a_curve_goes_on_with_its_last_slope(self) -> None:
        looks = [look(10.0, of=curve({0: 0, 1: 500, 5: 2500, 10: 5000}))]
        assert Expectation(looks, rhythm_of(looks)).pages(20).mid == pytest.approx(10_000)

    def test_growth_since_armed_is_taken_for_what_it_is(self) -> None:
        growth = [
            look(
                float(at),
                of=curve({0.0: 0, **{float(t): 100 * t for t in range(1, at + 1)}}, CurveKind.GROWTH),
            )
            for at in range(1, 6)
        ]
        expectation = Expectation(growth, rhythm_of(growth))
        assert expectation.pages(3).mid == pytest.approx(300)
        assert expectation.further(5.0, 1.0).mid == pytest.approx(100)

    def test_without_history_nothing_is_expected(self) -> None:
        empty = Expectation([], rhythm_of([]))
        assert empty.pages(1).high == 0
        assert empty.further(1, 1).high == 0
        assert empty.finest_s == 0


class TestCosts:
    """What is learnt from a link."""

    def test_each_kind_of_link_teaches_its_own_lines(self) -> None:
        model = costs()
        pre_dump, dump = (link(kind, 100 * MIB, 5.0, stopped_s=0.5) for kind in LinkKind)
        after = model.after(pre_dump).after(pre_dump)
        assert after.pre_dump.mid_s(100 * MIB) == pytest.approx(5.0)
        assert after.dump == model.dump
        after = model.after(dump).after(dump)
        assert after.dump_stop.mid_s(100 * MIB) == pytest.approx(0.5)
        assert after.pre_dump == model.pre_dump

    def test_a_link_of_another_engine_teaches_nothing(self) -> None:
        model = costs()
        assert model.after(link(LinkKind.DUMP, MIB, 5.0, engine=Engine.CRIU)) is model

    def test_a_link_read_back_from_disk_teaches_nothing(self) -> None:
        model = costs()
        made = link(LinkKind.DUMP, MIB, 5.0)
        assert model.after(replace(made, seconds=None)) is model
        assert model.after(replace(made, stopped_us=None)) is model

    def test_a_target_that_was_ended_tells_nothing_of_how_long_it_stopped(self) -> None:
        model = costs()
        dump = link(LinkKind.DUMP, MIB, 5.0, stopped_s=5.0)
        after = model.after(dump, After.KILL).after(dump, After.KILL)
        assert after.dump_stop == model.dump_stop
        assert after.dump != model.dump
        assert after.stop(MIB, After.KILL).mid == pytest.approx(5.0)
