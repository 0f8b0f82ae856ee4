"""What a fork snapshot needs, and how often to dump, from the pages that are written within a time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast.estimate import Estimate
from engine.forecast.plans.snapshot import DumpInterval, ForkSnapshot, best_interval

DAY_S = 86_400.0


def nothing_written(span_s: float) -> Estimate:
    return Estimate.exactly(0.0)


def constant(stop_s: float) -> DumpInterval:
    return best_interval(nothing_written, lambda pages: Estimate.exactly(stop_s), DAY_S)


@pytest.mark.parametrize("stop_s", [0.01, 0.1, 10.0])
def test_where_a_stop_is_always_as_long_the_interval_is_youngs(stop_s: float) -> None:
    assert constant(stop_s).every_s == pytest.approx(math.sqrt(2 * stop_s * DAY_S), rel=0.05)


def test_a_longer_stop_asks_for_fewer_dumps_and_loses_more() -> None:
    quick, slow = constant(0.01), constant(1.0)
    assert quick.every_s < slow.every_s
    assert quick.lost_fraction < slow.lost_fraction


def test_stops_that_grow_with_the_interval_ask_for_more_dumps_than_those_that_stay() -> None:
    def growing(pages: Estimate) -> Estimate:
        return Estimate.exactly(0.01 + pages.mid * 1e-6)

    grows = best_interval(lambda span_s: Estimate.exactly(1000 * span_s**0.5), growing, DAY_S)
    stays = best_interval(nothing_written, lambda pages: grows.stopped_s, DAY_S)
    assert grows.every_s < stays.every_s


@given(st.floats(1e-4, 100), st.floats(10, 1e7))
def test_no_other_interval_loses_less(stop_s: float, mtbf_s: float) -> None:
    found = best_interval(nothing_written, lambda pages: Estimate.exactly(stop_s), mtbf_s)
    assert 0.1 <= found.every_s <= max(0.2, mtbf_s) * 1.001
    assert 0 <= found.lost_fraction <= 2
    shorter, longer = found.every_s / 1.5, found.every_s * 1.5
    for other in (shorter, longer):
        if 0.1 <= other <= mtbf_s:
            lost = stop_s / (other + stop_s) + 1 - (other / mtbf_s) / math.expm1(other / mtbf_s)
            assert lost >= found.lost_fraction * 0.999


def test_a_fork_fits_if_the_most_that_is_foreseen_does() -> None:
    copied = Estimate(1e9, 2e9, 3e9)
    assert ForkSnapshot(30, copied, 3_000_000_000).fits
    assert not ForkSnapshot(30, copied, 2_999_999_999).fits
