"""What tracking costs a target is measured, and what would cost more than its budget is put off."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tracking.cost_budget import (
    DEFAULT_BUDGET,
    LONGEST_S,
    NO_BUDGET,
    SETTLED_S,
    CostBudget,
    CostKeeper,
)
from engine.tracking.cost_words import CostTeller

YOUNG_S, OLD_S = 0.05, 5.0


class Target:
    """A target that is ticked for as long as asked, and what a tick costs it."""

    def __init__(self, budget: CostBudget = DEFAULT_BUDGET, asked_s: float = 1.0) -> None:
        self.now_s = 1000.0
        self.asked_s = asked_s
        self.costs = CostKeeper(budget, self.now_s)
        self.spent_s = self.stopped_s = 0.0

    def tick(self, faults_s: float = 0.0, stopped_s: float = 0.0) -> float:
        """Wait as long as is said, tick, and say how long it was."""
        pause_s = self.costs.pause_s(self.asked_s)
        self.now_s += pause_s
        self.spent_s += faults_s + stopped_s
        self.stopped_s += stopped_s
        self.costs.ticked(self.now_s, faults_s, stopped_s)
        return pause_s


# -- ticks


def test_who_writes_little_is_looked_at_as_often_as_asked() -> None:
    target = Target()
    assert {target.tick(faults_s=0.001) for _ in range(100)} == {1.0}
    assert not target.costs.is_slowed


def test_a_single_dear_tick_is_paid_for_out_of_what_was_saved() -> None:
    target = Target()
    pauses = [target.tick(0.15 if number == 20 else 0.001) for number in range(40)]
    assert set(pauses) == {1.0}


def test_a_few_ticks_in_quick_succession_are_paid_for_too() -> None:
    target = Target(asked_s=0.05)
    assert {target.tick(0.01) for _ in range(12)} == {0.05}


@pytest.mark.parametrize("cost_s", [0.05, 0.2, 0.5])
def test_in_the_long_run_ticks_cost_what_they_may(cost_s: float) -> None:
    target = Target()
    pauses = [target.tick(cost_s) for _ in range(200)]
    assert pauses[-1] == pytest.approx(cost_s / DEFAULT_BUDGET.cpu)
    assert target.costs.is_slowed
    assert target.spent_s <= DEFAULT_BUDGET.cpu * (target.now_s - 1000 + 10) + cost_s


def test_ticks_come_as_often_as_asked_again_once_they_cost_little() -> None:
    target = Target()
    for _ in range(20):
        target.tick(0.1)
    pauses = [target.tick(0.0001) for _ in range(5)]
    assert pauses[-1] == 1.0


def test_stops_have_a_budget_of_their_own() -> None:
    target = Target()
    pauses = [target.tick(stopped_s=0.009) for _ in range(100)]
    assert pauses[-1] == pytest.approx(0.009 / (DEFAULT_BUDGET.stopped / 2))


def test_no_tick_is_put_off_for_ever() -> None:
    target = Target()
    pauses = [target.tick(100.0) for _ in range(10)]
    assert max(pauses) == LONGEST_S
    assert target.tick(0.0) == LONGEST_S
    assert target.tick(0.0) < LONGEST_S, "what could not be kept is not held against it later"


def test_a_tick_is_not_put_off_beyond_what_must_be_decided() -> None:
    target = Target()
    for _ in range(10):
        target.tick(1.0)
    assert target.costs.pause_s(1.0, within_s=3.0) == 3.0
    assert target.costs.pause_s(1.0, within_s=0.0) == 1.0


def test_without_a_budget_nothing_is_put_off() -> None:
    target = Target(NO_BUDGET)
    assert {target.tick(faults_s=5.0, stopped_s=5.0) for _ in range(5)} == {1.0}
    assert len(chosen(target, [YOUNG_S] * 1000)) == 1000


def test_what_the_user_orders_does_not_slow_ticks() -> None:
    target = Target()
    for _ in range(20):
        target.costs.ordered(0.5)
        assert target.tick(stopped_s=0.5) == 1.0


@given(
    ticks=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 0.5)), min_size=1, max_size=60),
    asked_s=st.floats(0.01, 100),
    percent=st.floats(0.01, 100),
)
def test_whatever_ticks_cost_the_next_comes_within_bounds(
    ticks: list[tuple[float, float]], asked_s: float, percent: float
) -> None:
    target = Target(CostBudget.of(percent / 100), asked_s)
    for faults_s, stopped_s in ticks:
        pause_s = target.tick(faults_s, stopped_s)
        assert asked_s <= pause_s <= max(asked_s, LONGEST_S)


# -- newcomers


def chosen(target: Target, ages_s: list[float], after_s: float = 0.0) -> list[int]:
    return list(target.costs.choose(ages_s, target.now_s + after_s))


def test_a_few_children_are_armed_at_once() -> None:
    target = Target()
    assert sorted(chosen(target, [YOUNG_S] * 5)) == [0, 1, 2, 3, 4]


def test_of_more_than_can_be_paid_for_those_that_have_lived_are_armed_the_oldest_first() -> None:
    target = Target()
    ages_s = [YOUNG_S] * 500 + [OLD_S, 2 * OLD_S]
    assert chosen(target, ages_s) == [501, 500]


def test_where_children_live_shortly_only_those_that_have_lived_are_armed() -> None:
    target = Target()
    for _ in range(3):
        target.costs.exited(YOUNG_S, target.now_s)
    assert chosen(target, [YOUNG_S, OLD_S]) == [1]


def test_children_that_live_long_are_no_storm() -> None:
    target = Target()
    for _ in range(100):
        target.costs.exited(OLD_S, target.now_s)
    assert chosen(target, [YOUNG_S]) == [0]


def test_a_storm_passes() -> None:
    target = Target()
    for _ in range(3):
        target.costs.exited(YOUNG_S, target.now_s)
    assert chosen(target, [YOUNG_S]) == []
    assert chosen(target, [YOUNG_S], after_s=60) == [0]


@pytest.mark.parametrize("percent", [0.01, 2.0])
@pytest.mark.parametrize("arming_s", [0.0002, 0.005])
def test_arming_stops_a_target_no_longer_than_it_may_and_every_child_gets_its_turn(
    percent: float, arming_s: float
) -> None:
    budget = CostBudget.of(percent / 100)
    target = Target(budget)
    waiting = [OLD_S] * 50
    stopped_s, began_s = 0.0, target.now_s
    while waiting:
        for _ in target.costs.choose(waiting, target.now_s):
            target.costs.armed(arming_s)
            stopped_s += arming_s
            waiting.pop()
        target.tick(stopped_s=0.0)
        # What was saved, and one more: how long it takes is known only afterwards.
        assert stopped_s <= budget.stopped / 2 * (target.now_s - began_s + 4) + arming_s
        assert target.now_s < began_s + 50 * arming_s / (budget.stopped / 2) + 100


def test_arming_does_not_slow_ticks() -> None:
    target = Target()
    for _ in range(50):
        for _ in target.costs.choose([OLD_S], target.now_s):
            target.costs.armed(0.0004)
        assert target.tick(stopped_s=0.0004) == 1.0


# -- what is said


def told(teller: CostTeller, target: Target, unarmed: int = 0) -> list[str]:
    return list(teller.news(target.costs, unarmed, target.now_s))


def test_slowing_is_said_once_and_its_end_once() -> None:
    target, teller = Target(), CostTeller()
    said = []
    for number in range(100):
        target.tick(0.3 if number < 30 else 0.0)
        said += told(teller, target)
    assert [text.partition(",")[0] for text in said] == [
        "ticks come 15.0 s apart",
        "ticks come as often as asked for again",
    ]


def test_children_that_are_not_tracked_are_said_once_and_that_they_are_again() -> None:
    target, teller = Target(), CostTeller()
    said = told(teller, target, unarmed=7) + told(teller, target, unarmed=9)
    target.now_s += 60
    said += told(teller, target) + told(teller, target)
    assert len(said) == 2
    assert said[0].startswith(f"7 children younger than {SETTLED_S:.0f} s are seen but not tracked")
    assert "cost budget of 2 %" in said[0]
    assert said[1] == "all children are tracked again"


def test_half_of_a_budget_may_be_stops() -> None:
    assert CostBudget.of(0.02) == DEFAULT_BUDGET
    assert not CostBudget.of(math.inf).is_limited
