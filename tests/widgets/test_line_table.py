"""The line-API table: order, cursor, keys and mouse, whatever the data."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
from textual import events, on
from textual.app import App, ComposeResult

from engine.pageset import Int64Array
from widgets.columns import Cell, Column, Span
from widgets.line_table import LineTable
from widgets.rows import stable_order

COLUMNS = (
    Column("name", "name", 10, flexible=True),
    Column("size", "size", 8, "right", descending=True),
    Column("age", "age", 6, "right"),
)


class Fruits:
    """Rows named by their name, with a size and an age."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.names = list(sizes)
        self.sizes = np.array(list(sizes.values()), np.int64)
        self.formatted: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def identity(self, row: int) -> Hashable:
        return self.names[row]

    def find(self, identity: Hashable) -> int | None:
        return self.names.index(identity) if isinstance(identity, str) and identity in self.names else None

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        among = np.array([row for row, name in enumerate(self.names) if filter_text in name], np.int64)
        return stable_order(self.sizes, descending, among) if column == "size" else among

    def cell(self, row: int, column: str, width: int) -> Cell:
        self.formatted.add(row)
        return (Span(self.names[row] if column == "name" else str(self.sizes[row])),)


class Many(Fruits):
    """A great many rows."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.sizes = np.random.default_rng(seed).permutation(count)
        self.formatted = set()

    def __len__(self) -> int:
        return len(self.sizes)

    def identity(self, row: int) -> Hashable:
        return row

    def find(self, identity: Hashable) -> int | None:
        return identity if isinstance(identity, int) and identity < len(self.sizes) else None

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        return stable_order(self.sizes, descending, np.arange(len(self.sizes), dtype=np.int64))

    def cell(self, row: int, column: str, width: int) -> Cell:
        self.formatted.add(row)
        return (Span(f"row {row}" if column == "name" else str(self.sizes[row])),)


class Shop(App[None]):
    """A table, and what it has said."""

    CSS = "LineTable { width: 40; height: 8; }"

    def __init__(self, table: LineTable | None = None) -> None:
        super().__init__()
        self.table = table or LineTable(COLUMNS)
        self.highlighted: list[Hashable] = []
        self.selected: list[Hashable] = []
        self.sorts: list[tuple[str, bool]] = []

    def compose(self) -> ComposeResult:
        yield self.table

    @on(LineTable.RowHighlighted)
    def note_highlight(self, event: LineTable.RowHighlighted) -> None:
        self.highlighted.append(event.identity)

    @on(LineTable.RowSelected)
    def note_selection(self, event: LineTable.RowSelected) -> None:
        self.selected.append(event.identity)

    @on(LineTable.SortChanged)
    def note_sort(self, event: LineTable.SortChanged) -> None:
        self.sorts.append((event.column, event.descending))


FRUITS = {"apple": 3, "banana": 1, "cherry": 2, "date": 5, "elder": 4}


def cursor_of(table: LineTable) -> Hashable:
    return table.cursor_identity


def text_of(table: LineTable) -> list[str]:
    return [table.render_line(y).text for y in range(table.size.height)]


def names_of(table: LineTable) -> list[str]:
    return [line.split()[0] for line in text_of(table)[1:] if line.strip()]


async def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    app = Shop()
    async with app.run_test(notifications=True) as pilot:
        app.table.show_rows(Fruits(FRUITS))
        app.table.focus()
        await pilot.press("down", "down")
        assert cursor_of(app.table) == "cherry"
        app.table.sort_by("size")
        assert (cursor_of(app.table), app.table.cursor_index) == ("cherry", 3)
        app.table.reverse_sort()
        assert (cursor_of(app.table), app.table.cursor_index) == ("cherry", 1)
        await pilot.pause()
        assert app.highlighted == ["apple", "banana", "cherry"]
        assert app.sorts == [("size", True), ("size", False)]


async def test_the_cursor_stays_on_its_row_when_the_data_changes() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Fruits(FRUITS))
        app.table.move_cursor_to("date")
        app.table.show_rows(Fruits({"acorn": 9, **FRUITS, "fig": 7}))
        assert (cursor_of(app.table), app.table.cursor_index) == ("date", 4)
        await pilot.pause()
        assert app.highlighted == ["apple", "date"]


async def test_when_its_row_vanishes_the_cursor_stays_where_it_was() -> None:
    app = Shop()
    async with app.run_test():
        app.table.show_rows(Fruits(FRUITS))
        app.table.move_cursor_to("cherry")
        app.table.show_rows(Fruits({name: 1 for name in FRUITS if name != "cherry"}))
        assert cursor_of(app.table) == "date"
        app.table.show_rows(Fruits({"apple": 1}))
        assert cursor_of(app.table) == "apple"
        app.table.show_rows(Fruits({}))
        assert cursor_of(app.table) is None


async def test_a_filter_shows_what_matches_and_goes_to_the_first_match() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Fruits(FRUITS))
        app.table.move_cursor_to("cherry")
        app.table.filter_text = "a"
        assert names_of(app.table) == ["apple", "banana", "date"]
        assert (app.table.shown_count, app.table.row_count) == (3, 5)
        assert cursor_of(app.table) == "apple"
        app.table.move_cursor_to("date")
        app.table.filter_text = ""
        assert cursor_of(app.table) == "date"
        app.table.empty_text = "no [fruit] matches"
        app.table.filter_text = "zzz"
        await pilot.pause()
        assert "no [fruit] matches" in text_of(app.table)[2]


async def test_a_click_on_the_header_sorts_and_again_turns_round() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Fruits(FRUITS))
        at = text_of(app.table)[0].index("size")
        await pilot.click(LineTable, offset=(at, 0))
        assert names_of(app.table) == ["date", "elder", "apple", "cherry", "banana"]
        assert "▼size" in text_of(app.table)[0]
        await pilot.click(LineTable, offset=(at, 0))
        assert names_of(app.table) == ["banana", "cherry", "apple", "elder", "date"]
        assert "▲size" in text_of(app.table)[0]
        assert app.sorts == [("size", True), ("size", False)]


async def test_sorting_goes_round_the_columns_in_view() -> None:
    app = Shop()
    async with app.run_test():
        app.table.show_rows(Fruits(FRUITS))
        seen = []
        for _ in range(4):
            app.table.cycle_sort()
            seen.append(app.table.sort_column)
        app.table.cycle_sort(-1)
        assert seen == ["name", "size", "age", "name"]
        assert app.table.sort_column == "age"


async def test_a_click_goes_to_the_row_and_two_select_it() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Fruits(FRUITS))
        await pilot.click(LineTable, offset=(3, 3))
        assert cursor_of(app.table) == "cherry"
        assert app.selected == []
        await pilot.click(LineTable, offset=(3, 4), times=2)
        assert app.selected == ["date"]
        await pilot.click(LineTable, offset=(3, 7))
        assert cursor_of(app.table) == "date"


async def test_the_keys_move_by_rows_and_by_pages_and_keep_the_cursor_in_view() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Many(1000))
        app.table.sort_by("size", False)
        app.table.focus()

        async def after(*keys: str) -> tuple[int, int]:
            await pilot.press(*keys)
            await pilot.pause()
            return app.table.cursor_index, app.table.scroll_offset.y

        await pilot.press("home")
        assert await after("pagedown") == (6, 0)
        assert await after("down") == (7, 1)
        assert await after("pagedown", "pagedown") == (19, 13)
        assert await after("pageup") == (13, 13)
        assert await after("up") == (12, 12)
        assert await after("end") == (999, 993)
        assert await after("down") == (999, 993)
        assert await after("home") == (0, 0)
        assert await after("up") == (0, 0)
        await pilot.press("enter")
        assert app.selected == [cursor_of(app.table)]


async def test_the_wheel_scrolls_under_a_header_that_stays() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Many(1000))
        await pilot.pause()
        first, *rest = text_of(app.table)
        before = cursor_of(app.table)
        for _ in range(3):
            app.table.post_message(events.MouseScrollDown(app.table, 3, 3, 0, 1, 0, False, False, False))
        await pilot.pause()
        scrolled = app.table.scroll_offset.y
        assert scrolled > 2
        assert text_of(app.table)[0] == first
        assert text_of(app.table)[1:] != rest
        assert cursor_of(app.table) == before
        # New data does not pull a reader back to the cursor.
        app.table.show_rows(Many(1000))
        await pilot.pause()
        assert app.table.scroll_offset.y == scrolled


async def test_a_row_far_down_can_be_gone_to_as_soon_as_there_is_data() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        app.table.show_rows(Many(1000))
        assert app.table.move_cursor_to(700)
        await pilot.pause()
        assert any(line.split()[:2] == ["row", "700"] for line in text_of(app.table)[1:])
        assert not app.table.move_cursor_to(1000)


async def test_only_rows_in_view_are_formatted_and_only_changed_lines_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Shop()
    async with app.run_test() as pilot:
        many = Many(65_000)
        app.table.show_rows(many)
        app.table.sort_by("size", False)
        await pilot.pause()
        assert len(many.formatted) <= 2 * 7
        assert names_of(app.table) == ["row"] * 7
        shown = [int(line.split()[1]) for line in text_of(app.table)[1:]]
        assert shown == np.argsort(many.sizes).tolist()[:7]

        lines: list[int] = []
        monkeypatch.setattr(app.table, "refresh_line", lines.append)
        again = Many(65_000)
        again.sizes = many.sizes.copy()
        app.table.show_rows(again)
        assert lines == []
        other = Many(65_000)
        other.sizes = np.where(many.sizes == 3, -1, many.sizes)
        app.table.show_rows(other)
        assert lines == [1, 2, 3, 4]


async def test_half_a_million_rows_show_the_right_ones_at_the_end() -> None:
    app = Shop()
    async with app.run_test() as pilot:
        many = Many(500_000)
        app.table.show_rows(many)
        app.table.sort_by("size", True)
        app.table.focus()
        await pilot.press("end")
        await pilot.pause()
        assert [int(line.split()[1]) for line in text_of(app.table)[1:]] == np.argsort(many.sizes)[
            6::-1
        ].tolist()


@pytest.mark.parametrize("width", [4, 10, 20, 40, 80])
async def test_every_line_is_exactly_as_wide_as_the_table(width: int) -> None:
    app = Shop()
    async with app.run_test(size=(width, 10)) as pilot:
        app.table.styles.width = width
        app.table.show_rows(Fruits({"日本語" * 30: 1, "x" * 300: 10**30 % 10**18, "": 3}))
        await pilot.pause()
        strips = [app.table.render_line(y) for y in range(app.table.size.height)]
        assert {strip.cell_length for strip in strips} == {app.table.scrollable_content_region.width}
