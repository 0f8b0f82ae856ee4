"""Bursts and lulls in series of rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast.writes.rhythm import IDLE_PAGES_PER_S, Rhythm, State, rhythm_of
from engine.tracking.curve import CurveKind
from tests.forecast.histories import curve, look, rates

BURSTS = ([8000.0] * 2 + [0.0] * 4) * 5
"""Two seconds of writing, four of quiet."""


def test_a_steady_rate_is_steady_whatever_its_height() -> None:
    for height in (10.0, 1e4, 1e6):
        assert rhythm_of(rates([height] * 30)).state is State.STEADY


@given(st.integers(0, 1000))
def test_a_rate_that_strays_by_a_fifth_is_steady(seed: int) -> None:
    strays = np.random.default_rng(seed).normal(5000, 1000, 60).clip(500)
    assert rhythm_of(rates(strays)).state is State.STEADY


def test_few_ticks_tell_nothing() -> None:
    assert rhythm_of(rates([1.0, 1e6, 1.0])).state is State.UNKNOWN
    assert rhythm_of([]) == Rhythm()


def test_bursts_and_lulls_are_told_apart_and_measured() -> None:
    rhythm = rhythm_of(rates([*BURSTS, 8000.0]))
    assert rhythm.state is State.BURST
    lulls, bursts = rhythm.lengths(State.LULL), rhythm.lengths(State.BURST)
    assert lulls is not None
    assert bursts is not None
    assert lulls.mid == pytest.approx(4)
    assert bursts.mid == pytest.approx(2)
    assert rhythm.lasted_s == pytest.approx(1)
    assert rhythm.remaining_s is not None
    assert rhythm.remaining_s.mid == pytest.approx(1)
    assert rhythm.quiet_s == 0
    assert rhythm.pages_per_s == 8000


def test_in_a_lull_it_says_for_how_long_it_has_been_quiet() -> None:
    rhythm = rhythm_of(rates([*BURSTS, 8000.0, 8000.0, 0.0, 0.0, 0.0]))
    assert rhythm.state is State.LULL
    assert rhythm.quiet_s == pytest.approx(3)


def test_a_lull_need_not_be_silent() -> None:
    rhythm = rhythm_of(rates(([50_000.0] * 3 + [900.0, 1100.0, 1000.0]) * 4))
    assert rhythm.state is State.LULL
    assert rhythm.quiet_s == pytest.approx(3)


def test_an_idle_target_is_quiet_without_ever_having_been_in_a_burst() -> None:
    rhythm = rhythm_of(rates([IDLE_PAGES_PER_S / 2] * 10))
    assert rhythm.state is State.STEADY
    assert rhythm.quiet_s == 10


def test_a_single_odd_tick_is_no_burst() -> None:
    assert rhythm_of(rates([100.0] * 20 + [20_000.0] + [100.0] * 20)).state is State.STEADY


def test_a_rate_half_way_does_not_end_a_burst() -> None:
    rhythm = rhythm_of(rates([*BURSTS, 8000.0, 1200.0, 8000.0, 1200.0]))
    assert rhythm.state is State.BURST
    assert rhythm.lasted_s == pytest.approx(4)


def test_a_tick_that_a_burst_fills_in_part_says_when_it_began() -> None:
    rhythm = rhythm_of(rates([0, 0, 0, 2000, 8000, 8000, 0, 0, 0, 0, 0, 2000, 8000, 8000, 0, 0]))
    bursts = [spell for spell in rhythm.spells if spell.state is State.BURST]
    assert [spell.start_s for spell in bursts] == pytest.approx([3.75, 11.75])
    assert [spell.end_s for spell in bursts] == pytest.approx([6, 14])


def test_short_ticks_are_joined_so_that_the_targets_own_steps_are_no_bursts() -> None:
    looks = rates([5000.0] * 20)
    now_s = looks[-1].time_s
    for number in range(8):  # every second one sees no step at all
        now_s += 0.02
        written = 200 * (number % 2)
        looks.append(look(now_s, written, 0.02, of=curve({0: 0, 0.02: written, 0.16: 800, 1: 5000})))
    assert rhythm_of(looks).state is State.STEADY


def test_without_rearming_a_busy_target_is_not_taken_for_a_quiet_one() -> None:
    growth = curve({0: 0, 1: 5000, 20: 5000}, CurveKind.GROWTH)
    looks = [look(float(at), 5000 if at == 1 else 0, of=growth) for at in range(1, 21)]
    assert rhythm_of(looks) == Rhythm()
    assert rhythm_of(looks).quiet_s == 0


@given(st.lists(st.floats(0, 1e6), max_size=60))
def test_spells_follow_each_other_and_take_turns(values: list[float]) -> None:
    looks = rates(values)
    rhythm = rhythm_of(looks)
    if looks:
        assert rhythm.spells[0].start_s == 0
        assert rhythm.spells[-1].end_s == looks[-1].time_s
        assert rhythm.spells[-1].state is rhythm.state
    for before, after in zip(rhythm.spells, rhythm.spells[1:], strict=False):
        assert before.end_s == after.start_s
        assert before.state is not after.state
        assert before.length_s >= 0


def test_each_moment_lies_in_its_spell() -> None:
    rhythm = rhythm_of(rates(BURSTS))
    at, ages_s = rhythm.phases(np.array([-1.0, 0.5, 2.5, 6.5]))
    assert at.tolist() == [-1, 0, 1, 2]
    assert ages_s[1:] == pytest.approx([0.5, 0.5, 0.5])
