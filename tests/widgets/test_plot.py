"""The one function around plotext."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.plot import CURVE, MARK, Axis, axis_of_past, axis_up_to, columns_of, draw, pieces

NAN, INF = math.nan, math.inf
X = Axis(0.0, 10.0, ((0.0, "0"), (10.0, "now")))
Y = Axis(0.0, 100.0, ((0.0, "  0"), (100.0, "100")))


def lines(
    xs: list[float],
    ys: list[float],
    width: int = 60,
    height: int = 10,
    marks: list[tuple[float, str]] | None = None,
) -> list[str]:
    marks = marks or []
    return draw(width, height, xs, ys, x_axis=X, y_axis=Y, marks=marks).split("\n")


def columns_with_curve(text: list[str]) -> set[int]:
    return {x for line in text for x, character in enumerate(line) if character in CURVE and character != "⠀"}


@pytest.mark.parametrize(
    ("xs", "ys"),
    [
        ([], []),
        ([5], [50]),
        ([1, 2, 3], [0, 0, 0]),
        ([1, 2, 3], [NAN, NAN, NAN]),
        ([1, 2, 3, 4], [5, INF, -INF, 7]),
        ([NAN, 2, INF], [1, 2, 3]),
        ([1, 2], [1e300, 2.0**70]),
        ([float(x) / 2000 for x in range(20_000)], [float(x % 100) for x in range(20_000)]),
    ],
    ids=["empty", "single", "flat", "nan", "inf", "bad x", "huge", "20k"],
)
@pytest.mark.parametrize(
    ("width", "height"), [(60, 10), (16, 4), (200, 50), (15, 10), (60, 3), (0, 0), (1, 1)]
)
def test_any_data_at_any_size_gives_exactly_that_many_cells(
    xs: list[float], ys: list[float], width: int, height: int
) -> None:
    text = draw(width, height, xs, ys, x_axis=X, y_axis=Y)
    assert "\x1b" not in text
    if height:
        assert [len(line) for line in text.split("\n")] == [width] * height
    else:
        assert text == ""


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats()), max_size=60),
    st.integers(0, 90),
    st.integers(0, 25),
)
def test_no_number_whatever_can_break_it(points: list[tuple[float, float]], width: int, height: int) -> None:
    points.sort(key=lambda point: point[0])
    text = draw(width, height, [x for x, _ in points], [y for _, y in points], x_axis=X, y_axis=Y)
    assert all(len(line) == width for line in text.split("\n")[:height])


def test_a_missing_number_leaves_a_gap() -> None:
    xs = [float(x) / 10 for x in range(101)]
    whole = columns_with_curve(lines(xs, [50.0] * 101))
    holed = columns_with_curve(lines(xs, [NAN if 40 <= x <= 60 else 50.0 for x in range(101)]))
    missing = sorted(whole - holed)
    assert len(missing) >= 8
    assert missing == list(range(missing[0], missing[-1] + 1))


def test_a_burst_among_many_points_stays_in_view() -> None:
    xs = [x / 2000 for x in range(20_000)]
    calm = [1.0] * 20_000
    burst = list(calm)
    burst[12_345] = 100.0
    assert lines(xs, calm) != lines(xs, burst)
    assert any(character in CURVE and character != "⠀" for character in lines(xs, burst)[0])


def test_the_same_call_gives_the_same_text_whatever_was_drawn_before() -> None:
    first = lines([1, 5, 9], [10, 90, 30])
    lines([1, 2], [99, 1], width=120, height=30)
    assert lines([1, 5, 9], [10, 90, 30]) == first


def test_marks_are_labelled_lines_from_top_to_axis_and_only_within_it() -> None:
    text = lines([], [], marks=[(0.0, "a"), (10.0, "■"), (11.0, "no"), (NAN, "no")])
    assert [text[0].index(label) for label in "a■"] == [text[-2].index("└") + 1, 59]
    assert all(line[text[0].index(label)] == MARK for label in "a■" for line in text[1:-2])
    assert "no" not in text[0]


@pytest.mark.parametrize("at", [0.0, 0.4, 3.3, 5.0, 7.77, 9.9, 10.0])
@pytest.mark.parametrize("width", [16, 59, 60, 137])
def test_a_mark_stands_where_the_curve_has_its_moment(at: float, width: int) -> None:
    spike = columns_with_curve(lines([at], [50.0], width))
    top = lines([at], [50.0], width, marks=[(at, "M")])[0]
    assert {top.index("M")} == spike


def test_below_the_curve_everything_is_filled_down_to_the_axis() -> None:
    text = lines([0.0, 5.0, 10.0], [0.0, 100.0, 0.0])[:-2]
    for x in columns_with_curve(text):
        column = [line[x] in CURVE for line in text]
        assert column == sorted(column)
        assert column[-1]


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e12)), min_size=1, max_size=200), st.integers(2, 50)
)
def test_columns_keep_the_highest_and_stay_between_the_first_and_the_last(
    points: list[tuple[float, float]], count: int
) -> None:
    points.sort()
    at, heights = columns_of(points, X, count)
    assert 1 <= len(at) == len(heights) <= count
    assert heights.max() == max(y for _, y in points)
    assert heights.min() >= min(y for _, y in points)
    assert abs(at[0] - points[0][0]) <= 10 / (count - 1)
    assert abs(at[-1] - points[-1][0]) <= 10 / (count - 1)


def test_between_two_points_the_curve_is_a_straight_line() -> None:
    at, heights = columns_of([(0.0, 0.0), (10.0, 100.0)], X, 11)
    assert at.tolist() == pytest.approx(list(range(11)))
    assert heights.tolist() == pytest.approx([10 * x for x in range(11)])


def test_points_beyond_the_axis_are_not_drawn() -> None:
    assert columns_of([(-5.0, 1.0), (11.0, 1.0)], X, 11)[0].tolist() == []


def test_pieces_are_split_where_a_number_is_missing() -> None:
    assert pieces([1, 2, 3, 4, 5], [1, NAN, 3, 4, INF]) == [[(1, 1)], [(3, 3), (4, 4)]]
    assert pieces([], []) == []


@given(st.floats(1e-9, 1e15))
def test_an_axis_reaches_a_round_number_not_far_above_the_largest(highest: float) -> None:
    axis = axis_up_to(highest, 6)
    assert highest * 0.9998 <= axis.highest <= highest * 2.01
    assert axis.ticks[0][0] == 0.0
    assert axis.ticks[-1][0] == axis.highest


@pytest.mark.parametrize("highest", [0.0, -1.0, NAN, INF])
def test_an_axis_for_nothing_still_spans_something(highest: float) -> None:
    assert axis_up_to(highest, 6).highest == 1.0


def test_the_past_is_labelled_at_round_distances() -> None:
    ticks = axis_of_past(89, 4).ticks
    assert [at for at, _ in ticks] == [-60, -30, 0]
    assert [label for _, label in ticks] == ["-1 min", "-30 s", "now"]
    assert [label for _, label in axis_of_past(8000, 3).ticks] == ["-2 h", "-1 h", "now"]
