"""How columns share a width, and cells fit into them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from widgets.columns import GAP, Column, Span, fit_cell, fit_columns

COLUMNS = (
    Column("a", "a", 10),
    Column("b", "b", 5, priority=2, wide=9),
    Column("c", "c", 6, priority=7),
    Column("name", "name", 8, flexible=True, wide=20),
)


def widths(width: int) -> dict[str, int]:
    return {place.column.key: place.width for place in fit_columns(COLUMNS, width)}


@given(st.integers(1, 300))
def test_nothing_is_placed_beyond_the_width_and_nothing_overlaps(width: int) -> None:
    placed = fit_columns(COLUMNS, width)
    ends = [place.x + place.width for place in placed]
    assert ends[-1] <= width
    assert all(place.x == end + GAP for place, end in zip(placed[1:], ends, strict=False))


@given(st.integers(60, 300))
def test_the_flexible_column_takes_what_is_left(width: int) -> None:
    placed = fit_columns(COLUMNS, width)
    assert placed[-1].column.key == "name"
    assert placed[-1].x + placed[-1].width == width


def test_the_least_important_columns_go_first() -> None:
    assert list(widths(100)) == ["a", "b", "c", "name"]
    assert list(widths(28)) == ["a", "b", "name"]
    assert list(widths(20)) == ["a", "name"]
    assert list(widths(5)) == ["name"]


def test_a_lesser_column_makes_way_for_a_readable_name() -> None:
    assert "c" not in widths(10 + 5 + 6 + 19 + 3 * GAP)
    assert "c" in widths(10 + 5 + 6 + 20 + 3 * GAP)


def test_a_column_widens_only_once_the_name_is_readable() -> None:
    assert widths(10 + 5 + 6 + 23 + 3 * GAP)["b"] == 5
    assert widths(10 + 5 + 6 + 24 + 3 * GAP) == {"a": 10, "b": 9, "c": 6, "name": 20}


@given(
    st.lists(st.text("ab日本語e\u0301 ", max_size=12)), st.integers(0, 20), st.sampled_from(["left", "right"])
)
def test_a_cell_takes_exactly_its_room(texts: list[str], width: int, justify: str) -> None:
    fitted = fit_cell([Span(text) for text in texts], width, "right" if justify == "right" else "left")
    assert sum(cell_len(span.text) for span in fitted) == width


def test_what_is_cut_says_so_and_what_fits_does_not() -> None:
    def text(cell: list[Span], width: int) -> str:
        return "".join(span.text for span in fit_cell(cell, width))

    assert text([Span("abcdef")], 6) == "abcdef"
    assert text([Span("abcdef")], 5) == "abcd…"
    assert text([Span("abc"), Span("def")], 4) == "abc…"
    assert text([Span("日本語")], 4) == "日 …"
