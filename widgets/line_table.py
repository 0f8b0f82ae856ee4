"""A table of up to half a million rows that stays fluid.

The data is columnar and lives in a `Rows` object; the table keeps an order (row numbers, sorted and
filtered) and asks for cells as lines come into view (`widgets.line_view`). The cursor is on a row,
not on a line: when the order changes it goes where its row goes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from widgets.columns import Column
from widgets.line_view import LineView
from widgets.rows import Rows
from widgets.table_lines import MARGIN, column_at


class LineTable(LineView, can_focus=True):
    """A table with a sticky header, a row cursor, sorting and filtering."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_by(-1)", "Up", show=False),
        Binding("down,j", "cursor_by(1)", "Down", show=False),
        Binding("pageup", "cursor_by_page(-1)", "Page up", show=False),
        Binding("pagedown", "cursor_by_page(1)", "Page down", show=False),
        Binding("home,g", "cursor_first", "First", show=False),
        Binding("end,G", "cursor_last", "Last", show=False),
        Binding("enter", "select", "Select", show=False),
    ]

    cursor_starts_on_top: ClassVar[bool] = False
    """Whether the cursor stays on the first line, whatever row that is, until the user moves it."""

    filter_text: reactive[str] = reactive("", init=False)
    """Only rows that match it are shown; "" shows all."""

    class RowHighlighted(Message):
        """The cursor is on another row."""

        def __init__(self, table: LineTable, identity: Hashable | None) -> None:
            super().__init__()
            self.table = table
            self.identity = identity
            """The row's identity; None where the table is empty."""

        @property
        def control(self) -> LineTable:
            """The table, for `@on` selectors."""
            return self.table

    class RowSelected(Message):
        """Enter, or a double click, on a row."""

        def __init__(self, table: LineTable, identity: Hashable) -> None:
            super().__init__()
            self.table = table
            self.identity = identity

        @property
        def control(self) -> LineTable:
            """The table, for `@on` selectors."""
            return self.table

    class SortChanged(Message):
        """The user, or the program, chose another order."""

        def __init__(self, table: LineTable, column: str, descending: bool) -> None:
            super().__init__()
            self.table = table
            self.column = column
            self.descending = descending

        @property
        def control(self) -> LineTable:
            """The table, for `@on` selectors."""
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        sort_column: str = "",
        sort_descending: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(columns, name=name, id=id, classes=classes)
        self._identity: Hashable | None = None
        self._follows_top = self.cursor_starts_on_top
        self.set_reactive(LineTable.sort_column, sort_column)
        self.set_reactive(LineTable.sort_descending, sort_descending)

    # -- data

    def show_rows(self, rows: Rows) -> None:
        """Show this data in place of what is shown; the cursor stays on its row."""
        self._set_rows(rows)
        self._rearrange()

    # -- cursor

    @property
    def cursor_identity(self) -> Hashable | None:
        """Identity of the row under the cursor; None where the table is empty."""
        return self._identity

    @property
    def cursor_index(self) -> int:
        """Line of the cursor, counted from the first shown row."""
        return self._cursor

    def move_cursor_to(self, identity: Hashable) -> bool:
        """Put the cursor on the row of that name; False if it is not shown."""
        at = self._index_of(identity)
        if at is None:
            return False
        self._move_cursor(at)
        return True

    def action_cursor_by(self, lines: int) -> None:
        """Move the cursor up (negative) or down."""
        self._move_cursor(self._cursor + lines)

    def action_cursor_by_page(self, pages: int) -> None:
        """Move the cursor by screenfuls."""
        self._move_cursor(self._cursor + pages * max(1, self._view_height - 1))

    def action_cursor_first(self) -> None:
        """Go to the first row; where the table allows it, stay on top from then on."""
        self._move_cursor(0)
        self._follows_top = self.cursor_starts_on_top

    def action_cursor_last(self) -> None:
        """Go to the last row."""
        self._move_cursor(len(self._order) - 1)

    def action_select(self) -> None:
        """Choose the row under the cursor."""
        if self._identity is not None:
            self.post_message(self.RowSelected(self, self._identity))

    def _move_cursor(self, index: int) -> None:
        self._follows_top = False
        self._set_cursor(index)
        self._reveal_cursor()
        self._refresh_changed()

    def _set_cursor(self, index: int) -> None:
        """Put the cursor on this line, or the nearest there is, and say so if the row is another."""
        self._cursor = max(0, min(index, len(self._order) - 1))
        before = self._identity
        self._identity = self._rows.identity(int(self._order[self._cursor])) if len(self._order) else None
        if self._identity != before:
            self.post_message(self.RowHighlighted(self, self._identity))

    def _index_of(self, identity: Hashable | None) -> int | None:
        if identity is None or (row := self._rows.find(identity)) is None:
            return None
        found = np.flatnonzero(self._order == row)
        return int(found[0]) if len(found) else None

    def _reveal_cursor(self) -> None:
        height = self._view_height
        if height <= 0:
            return
        # By force: until the next layout Textual believes that there is nothing to scroll.
        if self._cursor < self._top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= self._top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, force=True)

    # -- sorting and filtering

    def sort_by(self, column: str, descending: bool | None = None) -> None:
        """Sort by this column, as it prefers unless told; by the same one again, the other way round."""
        found = next((each for each in self._columns if each.key == column), None)
        if found is None:
            return
        if descending is None:
            descending = not self.sort_descending if column == self.sort_column else found.descending
        if (column, descending) == (self.sort_column, self.sort_descending):
            return
        self.set_reactive(LineTable.sort_column, column)
        self.set_reactive(LineTable.sort_descending, descending)
        self._sorted_anew()

    def reverse_sort(self) -> None:
        """Turn the order round."""
        self.sort_by(self.sort_column)

    def cycle_sort(self, step: int = 1) -> None:
        """Sort by the column right (1) or left (-1) of the present one, among those in view."""
        keys = self.visible_columns
        if keys:
            at = keys.index(self.sort_column) if self.sort_column in keys else -1
            self.sort_by(keys[(at + step) % len(keys)])

    def watch_sort_column(self) -> None:
        """Follow the new order."""
        self._sorted_anew()

    def watch_sort_descending(self) -> None:
        """Follow the new order."""
        self._sorted_anew()

    def watch_filter_text(self) -> None:
        """Show what matches; a cursor whose row does not goes to the first that does."""
        self._rearrange(lost=0)

    def _sorted_anew(self) -> None:
        self._rearrange()
        self.post_message(self.SortChanged(self, self.sort_column, self.sort_descending))

    def _rearrange(self, lost: int | None = None) -> None:
        """Sort and filter, and take the cursor along; to line `lost` if its row is not shown any more."""
        in_view = self._top <= self._cursor < self._top + self._view_height
        self._set_order(self._rows.arrange(self.sort_column, self.sort_descending, self.filter_text))
        found = 0 if self._follows_top else self._index_of(self._identity)
        if found is None:
            found = self._cursor if lost is None else lost
        self._set_cursor(found)
        # A user who has scrolled away from the cursor is reading there.
        if in_view:
            self._reveal_cursor()
        self._refresh_changed()

    def on_resize(self) -> None:
        """Share the new width among the columns."""
        in_view = self._top <= self._cursor
        self._place_columns()
        if in_view:
            self._reveal_cursor()

    # -- mouse

    def on_click(self, event: events.Click) -> None:
        """On the header: sort by that column. On a row: go there; twice: choose it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        if offset.y == 0:
            key = column_at(self._placed, offset.x - MARGIN)
            if key:
                self.sort_by(key)
            return
        index = self._top + offset.y - 1
        if index >= len(self._order):
            return
        self._move_cursor(index)
        if event.chain == 2:
            self.action_select()
