"""The loop around an advisor: when ticks are made, and what comes with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.forecast.advisor import Advisor
from engine.forecast.driver import Driver
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget


class Waits:
    """Waits for nothing, keeps what it was to wait for, and ends after so many."""

    def __init__(self, ticks: int) -> None:
        self.seconds: list[float] = []
        self._ticks = ticks

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) > self._ticks


@pytest.fixture
def session(target: ScriptedTarget) -> Iterator[Session]:
    with Session(target.pid) as made:
        yield made


def test_the_first_tick_is_made_at_once_and_the_next_an_interval_later(session: Session) -> None:
    waits = Waits(2)
    ticks = list(Driver(session, Advisor(), 1000.0).ticks(waits))
    assert len(ticks) == 2
    assert waits.seconds[0] == 0
    assert 0 < waits.seconds[1] <= 1000


def test_what_is_not_armed_is_looked_at_without_advice(session: Session) -> None:
    (tick,) = Driver(session, Advisor(), 1.0).ticks(Waits(1))
    assert tick.sample.processes
    assert tick.advice is None
    assert tick.is_shown


def test_an_armed_target_is_advised_on_but_within_a_close_look(session: Session) -> None:
    session.arm()
    advisor = Advisor()
    ticks = list(Driver(session, advisor, 1000.0).ticks(Waits(12)))
    assert [tick for tick in ticks if tick.advice is not None]
    assert [tick for tick in ticks if tick.advice is None], "no close look was taken"
    # Of those close together only the first has an interval behind it that is worth showing.
    shown = [tick.is_shown for tick in ticks]
    assert shown[:2] == [True, True]
    assert False in shown


def test_advice_is_given_no_more_often_than_asked_for_unless_at_once(session: Session) -> None:
    session.arm()
    driver = Driver(session, Advisor(), 0.0, advice_every_s=1000.0)
    assert driver.tick().advice is not None
    assert driver.tick().advice is None
    driver.at_once()
    while (tick := driver.tick()).advice is None:  # until a close look is over
        driver.at_once()
    assert tick.advice is not None


def test_the_end_of_the_target_ends_the_ticks(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    ticks = Driver(session, Advisor(), 0.0).ticks(lambda seconds: False)
    assert next(ticks).sample.processes
    target.kill()
    assert not list(ticks)[-1].sample.processes


def test_a_changed_interval_holds_for_the_tick_that_is_waited_for(session: Session) -> None:
    driver = Driver(session, Advisor(), 1000.0)
    driver.tick()
    assert driver.left_s() > 500
    driver.interval_s = 0.0
    assert driver.left_s() <= 0
