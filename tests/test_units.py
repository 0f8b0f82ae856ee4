"""Numbers as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.units import (
    Unit,
    exact_duration,
    format_age,
    format_bytes,
    format_clock,
    format_count,
    format_duration,
    format_percent,
    format_rate,
    say_bytes,
    say_duration,
    say_rates,
    say_times,
    split_bytes,
)

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "    0 B  "),
        (1023, " 1023 B  "),
        (4 * KIB, "  4.0 KiB"),
        (1023.94 * KIB, " 1024 KiB"),
        (1023.96 * KIB, "  1.0 MiB"),
        (48.25 * MIB, " 48.2 MiB"),
        (1000 * MIB, " 1000 MiB"),
        (20 * TIB, " 20.0 TiB"),
        (1 << 64, " 16.0 EiB"),
        (math.nan, "    –    "),
        (math.inf, "    –    "),
    ],
)
def test_bytes_take_the_unit_that_fits(n: float, text: str) -> None:
    assert format_bytes(n) == text
    assert say_bytes(n) == text.strip()


@given(st.floats(0, 1 << 64))
def test_bytes_and_rates_always_take_the_same_room(n: float) -> None:
    assert len(format_bytes(n)) == 9
    assert len(format_rate(n)) == 11


@given(st.lists(st.integers(1, 1 << 50), min_size=2, max_size=2))
def test_in_a_column_the_larger_amount_never_has_the_shorter_figure(amounts: list[int]) -> None:
    smaller, larger = sorted(amounts)
    unit = Unit.for_largest(larger)
    shown = [unit.format(amount) for amount in (smaller, larger)]
    assert len(shown[0]) <= len(shown[1]) or shown[0].startswith("<")


def test_a_column_keeps_at_most_four_digits_before_the_point() -> None:
    assert Unit.for_largest(9_999 * MIB).name == "MiB"
    assert Unit.for_largest(10_000 * MIB).name == "GiB"
    assert Unit.for_largest(10_000 * GIB).name == "TiB"


def test_what_was_written_is_never_shown_as_nothing() -> None:
    unit = Unit.for_largest(MIB)
    assert unit.format(4096) == "<0.01"
    assert unit.format(8192) == "0.01"
    assert unit.format(0) == "·"
    assert unit.format(0, zero="0") == "0"
    assert unit.format(math.nan) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (180e-6, "180 µs"),
        (0.9996e-3, "1.00 ms"),
        (14.23e-3, "14.2 ms"),
        (0.412, "412 ms"),
        (0.9996, "1.0 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90_000, "1 d 01 h"),
        (-2, "-2.0 s"),
        (math.nan, "–"),
    ],
)
def test_a_duration_is_told_in_the_units_that_matter(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (120, "2 m"),
        (3600 * 5, "5 h"),
        (1e9, "999 d"),
        (math.nan, "–"),
    ],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


@given(st.floats(0, 1e12))
def test_an_age_takes_five_cells_at_most(seconds: float) -> None:
    assert len(format_age(seconds)) <= 5


def test_clocks_counts_and_shares() -> None:
    assert [format_clock(at) for at in (0, 42.9, 3723, 90_061, math.nan)] == [
        "00:00",
        "00:42",
        "1:02:03",
        "1d 01:01:01",
        "–",
    ]
    assert [format_count(n) for n in (0, 65_000, math.inf)] == ["0", "65,000", "–"]
    assert [format_percent(share) for share in (0, 1e-5, 0.125, 1, 2.5)] == [
        "0.0%",
        "<0.1%",
        "12.5%",
        "100%",
        "250%",
    ]


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "0.0"), (140 << 10, "0.14"), (32 << 20, "32.0"), (2 << 30, "2.0")]
)
def test_a_least_unit_keeps_a_figure_from_looking_larger_than_it_is(amount: int, shown: str) -> None:
    figure, unit = split_bytes(amount, "MiB")
    assert (figure, unit) == (shown, "GiB" if amount >= 1 << 30 else "MiB")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(80e-6, "80 µs"), (0.0014, "1.4 ms"), (0.014, "14 ms"), (1.4, "1.4 s"), (14, "14 s"), (120, "2 min")],
)
def test_a_duration_in_a_sentence_has_two_digits(seconds: float, text: str) -> None:
    assert say_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.05, "50ms"), (3, "3s"), (0.25, "250ms"), (90.5, "90.5s")])
def test_a_duration_that_is_typed_loses_nothing(seconds: float, text: str) -> None:
    assert exact_duration(seconds) == text


def test_two_rates_in_a_sentence_share_one_unit() -> None:
    assert say_rates(2.1 * (1 << 30), 0.9 * (1 << 30)) == ("2.1 GiB/s", "0.9")
    assert say_rates(3.0 * (1 << 20), 2.0 * (1 << 30)) == ("0.00293 GiB/s", "2")


def test_how_often_is_a_word_where_there_is_one() -> None:
    assert [say_times(count) for count in (0, 1, 2, 3)] == ["not at all", "once", "twice", "3 times"]
