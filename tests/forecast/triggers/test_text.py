"""Triggers as they are written."""

from __future__ import annotations

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast.triggers.conditions import AnyOf, AtTime, Condition, Every, QuietFor, StopBelow
from engine.forecast.triggers.text import BadTrigger, parse_condition, parse_duration
from engine.printable import printable

DURATIONS = st.integers(1, 10**7).map(lambda number: number / 1000)
CONDITIONS = st.one_of(
    DURATIONS.map(StopBelow),
    DURATIONS.map(QuietFor),
    st.times().map(lambda clock: AtTime(clock.replace(microsecond=0))),
    st.builds(Every, DURATIONS, st.one_of(st.none(), DURATIONS)),
).filter(lambda condition: not isinstance(condition, Every) or condition.seconds <= 6e5)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("stop<50ms", StopBelow(0.05)),
        ("stop < 50 ms", StopBelow(0.05)),
        ("Stop<=0.5s", StopBelow(0.5)),
        ("stop under 800us", StopBelow(0.0008)),
        ("stop below 800µs", StopBelow(0.0008)),
        ("quiet 3s", QuietFor(3)),
        ("quiet for 2 min", QuietFor(120)),
        ("  quiet   3 s ", QuietFor(3)),
        ("at 12:30", AtTime(time(12, 30))),
        ("at 7:05:09", AtTime(time(7, 5, 9))),
        ("every 10s", Every(10)),
        ("every 1m until stop<50ms", Every(60, 0.05)),
        (
            "quiet 3s or every 1m until stop<50ms or at 12:30",
            AnyOf((QuietFor(3), Every(60, 0.05), AtTime(time(12, 30)))),
        ),
    ],
)
def test_it_means_what_it_says(text: str, condition: Condition) -> None:
    parsed = parse_condition(text)
    assert type(parsed) is type(condition)
    assert str(parsed) == str(condition)


@given(CONDITIONS)
def test_what_is_shown_can_be_read_back(condition: Condition) -> None:
    assert str(parse_condition(str(condition))) == str(condition)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a trigger"),
        ("whenever", "write one of stop<50ms"),
        ("stop", "is not a trigger"),
        ("stop<", "a duration is missing"),
        ("stop<50", "a unit is missing"),
        ("stop<50 parsecs", "“parsecs” is not a unit of time"),
        ("stop<-5ms", "is not a duration"),
        ("stop<0ms", "longer than 0"),
        ("stop<1e3ms", "is not a duration"),
        ("quiet", "a duration is missing"),
        ("quiet soon", "“soon” is not a duration"),
        ("quiet 800h", "at most a week"),
        ("at", "write the time as 12:30"),
        ("at noon", "write the time as 12:30"),
        ("at 25:00", "no such time of day"),
        ("at 12:61", "no such time of day"),
        ("every 10s until quiet 3s", "after “until” comes a limit"),
        ("every 10s until", "is not a duration"),
    ],
)
def test_what_means_nothing_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(BadTrigger, match=why):
        parse_condition(text)


@given(st.text(max_size=40))
def test_what_it_says_of_any_text_is_one_printable_line(text: str) -> None:
    with pytest.raises(BadTrigger) as refused:
        parse_condition("no " + text)
    message = str(refused.value)
    assert printable(message) == message


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1.5 min", 90), ("250ms", 0.25), ("1h", 3600)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    with pytest.raises(BadTrigger):
        parse_duration(text.rstrip("smhin "))
