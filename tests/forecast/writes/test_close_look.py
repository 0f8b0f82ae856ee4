"""When a few ticks in quick succession are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.forecast.writes.close_look import REST_S, CloseLook
from engine.forecast.writes.expectation import CLOSE_LOOK_S
from engine.forecast.writes.look import Look
from engine.forecast.writes.rhythm import Rhythm, State
from engine.tracking.curve import CurveKind
from tests.forecast.histories import curve, look

STEADY, BURST, LULL = (Rhythm(state) for state in (State.STEADY, State.BURST, State.LULL))


class Watched:
    """A target whose ticks come as the close look wants them."""

    def __init__(self) -> None:
        self.close_look = CloseLook()
        self.time_s = 0.0

    def tick(self, rhythm: Rhythm = STEADY, **other: object) -> float:
        """The next tick; how long after the last it came."""
        gap_s = self.close_look.gap_s(1.0)
        self.time_s += gap_s
        made: Look = replace(look(self.time_s, of=curve({0: 0, 1: 100})), **other)  # type: ignore[arg-type]
        self.close_look.ticked(made, rhythm)
        return gap_s

    def ticks(self, count: int, rhythm: Rhythm = STEADY) -> list[float]:
        return [self.tick(rhythm) for _ in range(count)]


def test_a_target_that_has_just_come_to_be_known_is_looked_at_closely() -> None:
    assert Watched().ticks(9) == [1.0, 1.0, *CLOSE_LOOK_S, 1.0, 1.0]


def test_a_steady_target_is_not_looked_at_again_unless_somebody_wants_it() -> None:
    watched = Watched()
    watched.ticks(7)
    assert watched.ticks(100) == [1.0] * 100
    watched.close_look.want(watched.time_s)
    assert watched.ticks(6) == [*CLOSE_LOOK_S, 1.0]


def test_it_is_not_looked_at_again_and_again() -> None:
    watched = Watched()
    watched.ticks(7)
    watched.close_look.want(watched.time_s + REST_S / 2)
    assert watched.tick() == 1.0
    watched.close_look.want(watched.time_s + REST_S)
    assert watched.tick() == CLOSE_LOOK_S[0]


def test_a_chain_that_goes_on_is_not_kept_waiting_by_a_close_look() -> None:
    watched = Watched()
    watched.ticks(7)
    watched.close_look.want(watched.time_s + REST_S)
    assert watched.tick() == CLOSE_LOOK_S[0]
    watched.close_look.link_made(watched.time_s)
    assert watched.tick() == 1.0
    watched.close_look.want(watched.time_s)
    assert watched.tick() == 1.0
    watched.close_look.want(watched.time_s + REST_S)
    assert watched.tick() == CLOSE_LOOK_S[0]


def test_the_first_burst_and_the_first_lull_are_looked_at_each() -> None:
    watched = Watched()
    watched.ticks(7)
    watched.ticks(10)
    assert watched.ticks(3, BURST) == [1.0, *CLOSE_LOOK_S[:2]]
    watched.ticks(3, BURST)
    watched.ticks(10, BURST)
    assert watched.ticks(6, LULL) == [1.0, *CLOSE_LOOK_S]
    watched.ticks(10, LULL)
    assert watched.ticks(3, BURST) == [1.0] * 3, "that was looked at a moment ago"


def test_ticks_are_never_so_close_that_there_is_nothing_but_ticks() -> None:
    watched = Watched()
    watched.tick(tick_s=0.05)
    watched.tick(tick_s=0.05)
    assert watched.ticks(3) == [0.32, 0.16, 1.0]
    slow = Watched()
    slow.tick(tick_s=5.0)
    slow.tick(tick_s=5.0)
    assert not slow.close_look.is_under_way


def test_no_gap_is_longer_than_the_interval() -> None:
    watched = Watched()
    watched.ticks(2)
    assert watched.close_look.gap_s(0.1) == pytest.approx(0.1)


def test_where_the_tracker_is_only_read_it_would_show_nothing() -> None:
    watched = Watched()
    for _ in range(5):
        assert watched.tick(curve=curve({0: 0, 1: 100}, CurveKind.GROWTH)) == 1.0
    assert not watched.close_look.is_under_way
