"""What is the case now, beside what a trigger waits for; and what one might wait for."""

from __future__ import annotations

from datetime import time

import pytest

from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.triggers.armed import Armed, Moment
from engine.forecast.triggers.conditions import AnyOf, AtTime, Condition, Every, QuietFor, StopBelow, Trigger
from engine.forecast.triggers.progress import TriggerProgress, gauges_of
from engine.forecast.triggers.suggestion import round_down, round_up, suggest
from engine.forecast.writes.rhythm import Rhythm, Spell, State
from tests.forecast.moments import NOON, forecast, moment, rhythm


def gauges(condition: Condition, now: Moment) -> tuple[TriggerProgress, ...]:
    return gauges_of(Armed.arm(Trigger(condition), 0.0, NOON), now)


def test_a_stop_stands_beside_its_limit() -> None:
    assert gauges(StopBelow(0.05), moment(1, forecast(0.2))) == (
        TriggerProgress("stop 200 ms", "< 50 ms", 0.25),
    )
    assert gauges(StopBelow(0.05), moment(1, forecast(0.02)))[0].fraction == 1.0
    assert gauges(StopBelow(0.05), moment(1, Forecast(0.0, 0.1)))[0] == TriggerProgress(
        "stop: unknown", "< 50 ms", 0
    )


def test_a_pre_dumping_trigger_waits_for_the_budget_or_its_own_limit() -> None:
    assert gauges(Every(5), moment(1, forecast(0.2)))[0].wanted == "< 100 ms"
    assert gauges(Every(5, 0.02), moment(1, forecast(0.2)))[0].wanted == "< 20 ms"


def test_quiet_counts_up() -> None:
    assert gauges(QuietFor(4), moment(1)) == (TriggerProgress("in a burst", "4 s", 0.0),)
    assert gauges(QuietFor(4), moment(1, quiet_s=3)) == (TriggerProgress("quiet 3 s", "4 s", 0.75),)
    unknown = Moment(1.0, NOON, forecast(9.0), Rhythm())
    assert gauges(QuietFor(4), unknown) == (TriggerProgress("quiet: unknown", "4 s", 0.0),)


def test_a_time_comes_nearer() -> None:
    assert gauges(AtTime(time(12, 30)), moment(450)) == (TriggerProgress("in 22 min", "12:30", 0.25),)


def test_of_several_each_has_its_own() -> None:
    both = gauges(AnyOf((StopBelow(0.05), QuietFor(4))), moment(1, forecast(0.2), quiet_s=1))
    assert [gauge.present for gauge in both] == ["stop 200 ms", "quiet 1 s"]


class TestSuggestion:
    def test_where_nothing_is_known_it_is_what_suits_most(self) -> None:
        found = suggest(Forecast(0.0, 0.1), Rhythm(), NOON)
        assert (str(found.stop), str(found.quiet), str(found.at)) == ("stop<100ms", "quiet 3s", "at 12:20")
        assert str(found.every) == "every 10s"
        assert found.best is StopBelow

    def test_a_limit_is_one_that_can_be_met(self) -> None:
        assert str(suggest(forecast(0.02), rhythm(), NOON).stop) == "stop<100ms"
        assert str(suggest(forecast(0.9, 0.4, best=1), rhythm(), NOON).stop) == "stop<500ms"

    def test_quiet_is_a_part_of_the_usual_lull(self) -> None:
        turns = enumerate((State.BURST, State.LULL, State.BURST, State.LULL))
        spells = tuple(Spell(state, 5.0 * at, 5.0 * at + 5, 9e3 if at % 2 == 0 else 0) for at, state in turns)
        found = suggest(forecast(0.02), Rhythm(State.LULL, spells), NOON)
        assert str(found.quiet) == "quiet 2s"
        assert found.best is QuietFor

    def test_where_a_pre_dump_does_it_there_is_no_need_to_wait_for_quiet(self) -> None:
        pays = Forecast(0.0, 0.1, forecast(0.9, 0.05).plans, 1, Verdict.PRE_DUMP)
        assert suggest(pays, rhythm(), NOON).best is StopBelow

    @pytest.mark.parametrize(("seconds", "up", "down"), [(0.04, 0.05, 0.03), (1.0, 1.0, 1.0), (6.5, 10, 5)])
    def test_figures_are_round(self, seconds: float, up: float, down: float) -> None:
        assert (round_up(seconds), round_down(seconds)) == (up, down)
