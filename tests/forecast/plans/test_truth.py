"""Forecasts beside what happened."""

from __future__ import annotations

import pytest

from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast
from engine.forecast.plans.truth import Errors, Outcome, Truth
from engine.images.layout import LinkKind
from tests.forecast.histories import link
from tests.known import known


def outcome(foreseen: float, pages: int, stop_ms: float = 0.0, stopped_ms: float = 0.0) -> Outcome:
    kind = LinkKind.DUMP if stopped_ms else LinkKind.PRE_DUMP
    said = LinkForecast(
        kind,
        pages=Estimate(foreseen * 0.9, foreseen, foreseen * 1.1),
        seconds=Estimate.exactly(1.0),
        stopped_s=Estimate.exactly(stop_ms / 1e3),
    )
    return known(Outcome.of(said, link(kind, pages * 4096, 1.0, stopped_ms / 1e3)))


def truth(*outcomes: Outcome) -> Truth:
    found = Truth()
    for each in outcomes:
        found = found.after(each)
    return found


def test_errors_are_relative_to_what_came() -> None:
    assert outcome(1100, 1000).pages_error == pytest.approx(0.1)
    assert outcome(900, 1000).pages_error == pytest.approx(-0.1)
    assert outcome(1000, 1000, stop_ms=12, stopped_ms=10).stop_error == pytest.approx(0.2)


def test_of_very_little_nobody_asks_for_a_tenth() -> None:
    assert outcome(10, 5).pages_error == pytest.approx(5 / 64)
    assert outcome(0, 0).pages_error == 0
    assert outcome(1, 1, stop_ms=0.3, stopped_ms=0.2).stop_error == pytest.approx(0.1)


def test_median_and_ninetieth_percentile_of_all_links() -> None:
    found = truth(*(outcome(1000 + 10 * error, 1000) for error in range(11)))
    assert found.pages.count == 11
    assert found.pages.median == pytest.approx(0.05)
    assert found.pages.p90 == pytest.approx(0.09)
    assert found.pages.in_range == 1
    assert truth(outcome(2000, 1000), outcome(1000, 1000)).pages.in_range == 0.5


def test_stops_are_those_of_dumps() -> None:
    found = truth(outcome(1, 1), outcome(1, 1, stop_ms=15, stopped_ms=10))
    assert found.stops.count == 1
    assert found.stops.median == pytest.approx(0.5)


def test_before_any_link_there_is_nothing_to_judge() -> None:
    assert Truth().pages == Errors(0)
