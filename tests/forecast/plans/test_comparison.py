"""Which of two targets is harder to dump: what counts first, and what does not count."""

from __future__ import annotations

from engine.forecast.plans.comparison import Harder, compare
from engine.forecast.plans.rounds import Plan
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.images.layout import LinkKind
from tests.forecast.moments import link


def forecast(stop_s: float, seconds: float = 1.0, verdict: Verdict = Verdict.DUMP_NOW) -> Forecast:
    return Forecast(0.0, 0.1, (Plan((link(LinkKind.DUMP, stop_s, seconds),)),), verdict=verdict)


def test_who_stops_longer_is_harder_whatever_the_chain_takes() -> None:
    found = compare(forecast(0.4, seconds=1.0), forecast(0.014, seconds=60.0))
    assert (found.harder, found.why) == (Harder.FIRST, "stops for 400 ms against 14 ms")


def test_who_takes_longer_is_harder_where_the_stops_are_alike() -> None:
    found = compare(forecast(0.100, seconds=1.0), forecast(0.105, seconds=20.0))
    assert (found.harder, found.why) == (Harder.SECOND, "stops for about as long, but takes 20 s against 1 s")


def test_who_does_not_converge_is_harder_however_short_its_stop() -> None:
    found = compare(forecast(0.5), forecast(0.01, verdict=Verdict.WILL_NOT_CONVERGE))
    assert found.harder is Harder.SECOND
    assert "faster than pre-dumps can save" in found.why


def test_what_differs_by_less_than_a_forecast_errs_is_no_difference() -> None:
    assert compare(forecast(0.100), forecast(0.120)).harder is Harder.NEITHER
    assert compare(forecast(0.0002), forecast(0.0009)).harder is Harder.NEITHER


def test_nothing_is_said_before_both_are_known() -> None:
    assert compare(forecast(0.1), Forecast(0.0, 0.1)).harder is Harder.UNKNOWN
    assert compare(Forecast(0.0, 0.1), forecast(0.1)).harder is Harder.UNKNOWN
