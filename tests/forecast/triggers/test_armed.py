"""The state machine: shown moments, it says what to do."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest

from engine.forecast.plans.rounds import MOST_PRE_DUMPS
from engine.forecast.plans.verdict import Forecast
from engine.forecast.triggers.armed import Action, Armed, Moment
from engine.forecast.triggers.conditions import (
    AnyOf,
    AtDeadline,
    AtTime,
    Condition,
    Every,
    QuietFor,
    StopBelow,
    Trigger,
)
from engine.forecast.writes.rhythm import Rhythm
from tests.forecast.moments import NOON, forecast, moment


class Driven:
    """A trigger, set at noon, and what it said."""

    def __init__(self, condition: Condition, **more: object) -> None:
        self.armed = Armed.arm(Trigger(condition, **more), 0.0, NOON)  # type: ignore[arg-type]
        self.reason = ""

    def shown(self, now: Moment) -> Action:
        self.armed, decision = self.armed.step(now)
        self.reason = decision.reason
        return decision.action


class TestStopBelow:
    def test_a_stop_of_just_the_limit_is_short_enough_as_it_is_for_the_budget(self) -> None:
        assert Driven(StopBelow(0.05), may_pre_dump=False).shown(moment(1, forecast(0.05))) is Action.DUMP
        assert Driven(Every(5, 0.05), may_pre_dump=False).shown(moment(1, forecast(0.05))) is Action.DUMP

    def test_it_dumps_once_the_stop_would_be_short_enough(self) -> None:
        driven = Driven(StopBelow(0.05), may_pre_dump=False)
        assert driven.shown(moment(1, forecast(0.2, 0.01))) is Action.WAIT
        assert driven.reason == "it would stop for 200 ms"
        assert driven.shown(moment(2, forecast(0.04, 0.01))) is Action.DUMP
        assert driven.reason == "it stops for 40 ms"

    def test_it_pre_dumps_if_that_makes_it_short_enough(self) -> None:
        driven = Driven(StopBelow(0.05))
        assert driven.shown(moment(1, forecast(0.2, 0.1, 0.03))) is Action.PRE_DUMP
        assert driven.reason == "after two pre-dumps it stops for 30 ms"
        assert driven.shown(moment(2, forecast(0.1, 0.03))) is Action.PRE_DUMP
        assert driven.shown(moment(3, forecast(0.03, 0.03))) is Action.DUMP

    def test_it_does_not_pre_dump_for_ever(self) -> None:
        driven = Driven(StopBelow(0.05))
        actions = [driven.shown(moment(at, forecast(0.2, 0.03))) for at in range(3 * MOST_PRE_DUMPS)]
        assert actions.count(Action.PRE_DUMP) == MOST_PRE_DUMPS
        assert actions[-1] is Action.WAIT

    def test_it_waits_while_nothing_is_known(self) -> None:
        driven = Driven(StopBelow(0.05))
        assert driven.shown(moment(1, Forecast(0.0, 0.1))) is Action.WAIT
        assert "not known yet" in driven.reason


class TestQuiet:
    def test_it_dumps_once_it_has_been_quiet_for_so_long(self) -> None:
        driven = Driven(QuietFor(3))
        assert driven.shown(moment(1)) is Action.WAIT
        assert driven.reason == "in a burst"
        assert driven.shown(moment(2, quiet_s=2.0)) is Action.WAIT
        assert driven.reason == "quiet for 2 s so far"
        assert driven.shown(moment(3, quiet_s=3.0)) is Action.DUMP

    def test_it_pre_dumps_in_the_quiet_where_that_is_advised(self) -> None:
        driven = Driven(QuietFor(3))
        dear = forecast(0.2, 0.02, best=1)
        assert driven.shown(moment(1, dear)) is Action.WAIT
        assert driven.shown(moment(3, dear, quiet_s=3.0)) is Action.PRE_DUMP
        assert driven.reason == "quiet for 3 s: after one pre-dump it stops for 20 ms"
        assert driven.shown(moment(4, forecast(0.02, 0.02), quiet_s=4.0)) is Action.DUMP
        assert driven.reason == "quiet for 4 s"

    def test_it_makes_no_pre_dump_where_it_may_not(self) -> None:
        driven = Driven(QuietFor(3), may_pre_dump=False)
        assert driven.shown(moment(3, forecast(0.2, 0.02, best=1), quiet_s=3.0)) is Action.DUMP

    def test_where_quiet_cannot_be_seen_it_says_so(self) -> None:
        driven = Driven(QuietFor(3))
        assert driven.shown(Moment(1.0, NOON, forecast(9.0), Rhythm())) is Action.WAIT
        assert "not known" in driven.reason

    def test_it_needs_no_forecast(self) -> None:
        assert Driven(QuietFor(3)).shown(moment(1, Forecast(0.0, 0.1), quiet_s=4.0)) is Action.DUMP


class TestAtTime:
    def test_it_dumps_when_the_clock_shows_it(self) -> None:
        driven = Driven(AtTime(time(12, 30)))
        assert driven.shown(moment(1799)) is Action.WAIT
        assert driven.shown(moment(1800)) is Action.DUMP
        assert driven.reason == "it is 12:30:00"

    def test_a_time_that_has_passed_is_tomorrows(self) -> None:
        driven = Driven(AtTime(time(11, 59)))
        assert driven.shown(moment(60)) is Action.WAIT
        assert driven.armed.due == datetime(2024, 5, 18, 11, 59)
        assert driven.shown(moment(86_400)) is Action.DUMP

    def test_shortly_before_it_pre_dumps_if_that_pays(self) -> None:
        driven = Driven(AtTime(time(12, 30)))
        pays = forecast(0.5, 0.01, best=1)
        assert driven.shown(moment(1700, pays)) is Action.WAIT
        assert driven.shown(moment(1798, pays)) is Action.PRE_DUMP
        assert driven.shown(moment(1799.5, pays)) is Action.WAIT, "too late for another"
        assert driven.shown(moment(1800, pays)) is Action.DUMP


class TestEvery:
    def test_it_pre_dumps_so_often_and_dumps_when_the_budget_is_met(self) -> None:
        driven = Driven(Every(10))
        much, little = forecast(0.5, 0.2), forecast(0.05, 0.05)
        assert driven.shown(moment(0, much)) is Action.PRE_DUMP
        assert driven.shown(moment(5, much)) is Action.WAIT
        assert driven.reason == "the next pre-dump in 5 s"
        assert driven.shown(moment(10, much)) is Action.PRE_DUMP
        assert driven.shown(moment(12, little)) is Action.DUMP

    def test_it_pre_dumps_at_least_once(self) -> None:
        assert Driven(Every(10)).shown(moment(0, forecast(0.01, 0.01))) is Action.PRE_DUMP

    def test_it_dumps_when_another_pre_dump_would_not_help(self) -> None:
        driven = Driven(Every(10))
        useless = forecast(0.5, 0.49)
        assert [driven.shown(moment(at, useless)) for at in (0, 5, 10, 11)] == [
            Action.PRE_DUMP, Action.WAIT, Action.PRE_DUMP, Action.DUMP
        ]  # fmt: skip

    def test_with_a_limit_of_its_own_it_goes_on_until_that_is_met(self) -> None:
        driven = Driven(Every(10, stop_s=0.02))
        for at in range(0, 100, 10):
            assert driven.shown(moment(at, forecast(0.05, 0.05))) is Action.PRE_DUMP
        assert driven.shown(moment(101, forecast(0.02, 0.02))) is Action.DUMP


CONDITIONS: list[Condition] = [StopBelow(0.001), QuietFor(3), AtTime(time(15, 0)), Every(1000, 0.001)]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize(
    ("at_deadline", "action"), [(AtDeadline.DUMP, Action.DUMP), (AtDeadline.GIVE_UP, Action.GIVE_UP)]
)
def test_at_the_deadline_it_does_what_it_was_told_to(
    condition: Condition, at_deadline: AtDeadline, action: Action
) -> None:
    driven = Driven(condition, deadline_s=60.0, at_deadline=at_deadline)
    assert driven.armed.left_s(20.0) == 40.0
    for at in (1, 30, 59):
        assert driven.shown(moment(at, forecast(0.5, 0.5))) in (Action.WAIT, Action.PRE_DUMP)
    assert driven.shown(moment(60, forecast(0.5, 0.5))) is action
    assert "the deadline has come" in driven.reason
    assert driven.armed.is_done


@pytest.mark.parametrize(
    ("at_deadline", "action"), [(AtDeadline.DUMP, Action.DUMP), (AtDeadline.GIVE_UP, Action.GIVE_UP)]
)
def test_the_deadline_is_not_put_off_by_pre_dumps_that_would_help(
    at_deadline: AtDeadline, action: Action
) -> None:
    driven = Driven(StopBelow(0.05), deadline_s=10.0, at_deadline=at_deadline)
    helps = forecast(0.2, 0.01)
    assert driven.shown(moment(1, helps)) is Action.PRE_DUMP
    assert driven.shown(moment(10, helps)) is action


def test_a_pre_dump_that_would_not_be_done_by_the_deadline_is_not_begun() -> None:
    driven = Driven(StopBelow(0.05), deadline_s=10.0)
    helps = forecast(0.2, 0.01)
    assert driven.shown(moment(9.5, helps)) is Action.WAIT
    assert driven.reason == "another pre-dump would not be done by the deadline"
    assert driven.armed.pre_dumps == 0
    every = Driven(QuietFor(3.0), deadline_s=10.0, pre_dump_every_s=1.0)
    assert every.shown(moment(9.5, helps)) is Action.WAIT
    assert every.shown(moment(9.9, helps, quiet_s=3.0)) is Action.DUMP


def test_after_the_dump_it_asks_for_nothing_more() -> None:
    driven = Driven(QuietFor(3), deadline_s=10)
    assert driven.shown(moment(1, quiet_s=4.0)) is Action.DUMP
    for at in (2, 20):
        assert driven.shown(moment(at, quiet_s=9.0)) is Action.WAIT


def test_without_a_deadline_it_waits_for_ever() -> None:
    driven = Driven(QuietFor(3))
    assert driven.armed.left_s(1e9) is None
    assert driven.shown(moment(1e6)) is Action.WAIT


class TestAnyOf:
    def test_whichever_is_the_case_first_dumps(self) -> None:
        either = AnyOf((StopBelow(0.05), QuietFor(3.0)))
        assert Driven(either).shown(moment(1.0, forecast(0.01))) is Action.DUMP
        assert Driven(either).shown(moment(1.0, quiet_s=4.0)) is Action.DUMP
        waiting = Driven(either)
        assert waiting.shown(moment(1.0, quiet_s=1.0)) is Action.WAIT
        assert waiting.reason == "it would stop for 9 s; quiet for 1 s so far"

    def test_a_pre_dump_of_one_serves_the_others_too(self) -> None:
        driven = Driven(AnyOf((Every(10.0), StopBelow(0.05))))
        assert driven.shown(moment(0.0, forecast(9.0, 0.01))) is Action.PRE_DUMP
        assert driven.armed.pre_dumps == 1
        assert driven.shown(moment(1.0, forecast(9.0, 9.0))) is Action.WAIT

    def test_of_several_times_the_first_counts(self) -> None:
        driven = Driven(AnyOf((AtTime(time(11, 0)), AtTime(time(12, 1)))))
        assert driven.armed.due == NOON + timedelta(minutes=1)


def test_it_pre_dumps_while_it_waits_if_it_was_told_how_often() -> None:
    driven = Driven(QuietFor(3.0), pre_dump_every_s=10.0)
    assert driven.shown(moment(0.0)) is Action.PRE_DUMP
    assert driven.shown(moment(9.0)) is Action.WAIT
    assert driven.shown(moment(10.0)) is Action.PRE_DUMP
    assert driven.shown(moment(11.0, quiet_s=3.0)) is Action.DUMP


@pytest.mark.parametrize("condition", [Every(10.0), StopBelow(0.05), AtTime(time(12, 1))])
def test_where_no_pre_dump_can_be_made_none_is_asked_for(condition: Condition) -> None:
    driven = Driven(condition, may_pre_dump=False, pre_dump_every_s=1.0)
    assert driven.shown(moment(0.0, forecast(9.0))) is Action.WAIT
