"""Lines learnt from how long things took."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast.costs.line import REMEMBERED, CostLine, Timed

MIB = 1 << 20
SIZES = st.lists(st.integers(0, 4096), min_size=3, max_size=REMEMBERED, unique=True).filter(
    lambda sizes: max(sizes) >= 2 * min(sizes) and max(sizes) > 1
)
FIXED = st.floats(0.0, 1.0)
RATE = st.floats(1.0, 20_000.0)


def line_after(times: Sequence[tuple[float, float]], probe: CostLine | None = None) -> CostLine:
    line = probe or CostLine.of(0.01, 1 / (1000 * MIB))
    for mib, seconds in times:
        line = line.after(mib * MIB, seconds)
    return line


@given(SIZES, FIXED, RATE)
def test_what_follows_a_line_is_learnt_exactly(sizes: list[int], fixed_s: float, mib_per_s: float) -> None:
    line = line_after([(mib, fixed_s + mib / mib_per_s) for mib in sizes])
    for mib in (*sizes, 10_000):
        assert line.mid_s(mib * MIB) == pytest.approx(fixed_s + mib / mib_per_s, rel=0.02, abs=0.011)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3)), max_size=30))
def test_more_bytes_never_take_less_time(times: list[tuple[float, float]]) -> None:
    line = line_after(times)
    assert line.fixed_s >= 0
    assert line.s_per_byte > 0
    low, high = line.spread
    assert low <= 1 <= high


def test_one_disturbed_time_in_five_does_not_count() -> None:
    times = [(mib, 0.05 + mib / 500) for mib in (10, 100, 200, 400, 800)]
    times[2] = (200, 30.0)
    assert line_after(times).mid_s(500 * MIB) == pytest.approx(1.05, rel=0.1)


def test_what_nothing_costs_is_told_by_small_ones_however_large_ones_stray() -> None:
    strays = [(200, 0.7), (200, 1.9), (8, 0.06), (200, 1.1), (8, 0.07), (9, 0.065)]
    assert line_after(strays).mid_s(1 * MIB) < 0.06


def test_times_of_one_size_scale_what_the_probe_says() -> None:
    probe = CostLine.of(0.01, 1 / (1000 * MIB))
    line = line_after([(100, 0.33), (100, 0.33)], probe)
    assert line.mid_s(100 * MIB) == pytest.approx(0.33)
    assert line.mid_s(0) == pytest.approx(0.03), "three times as slow in all"


def test_what_was_done_once_weighs_no_more_than_the_probe() -> None:
    probe = CostLine.of(0.0, 1 / (1000 * MIB))
    assert line_after([(100, 0.3)], probe).mid_s(100 * MIB) == pytest.approx(0.2)


def test_the_oldest_is_forgotten() -> None:
    line = line_after([(100, 9.0)] * 3 + [(100, 1.0)] * REMEMBERED)
    assert line.mid_s(100 * MIB) == pytest.approx(1.0)
    assert len(line.done) == REMEMBERED


def test_the_range_is_wide_after_a_probe_and_narrow_after_equal_times() -> None:
    probed = CostLine.of(0.01, 1 / (1000 * MIB)).seconds(100 * MIB)
    learnt = line_after([(mib, 0.01 + mib / 1000) for mib in (10, 50, 100, 200)]).seconds(100 * MIB)
    assert learnt.high - learnt.low < (probed.high - probed.low) / 3
    assert 0.11 in learnt


def test_a_probe_of_one_size_still_makes_a_line() -> None:
    line = CostLine((Timed(MIB, 0.5),))
    assert line.mid_s(MIB) == pytest.approx(0.5)
