"""The drawing half of a table: a header that stays, and the lines of those rows that are in view.

Nothing is done for rows out of view. A row's cells are made once for each data, its line is drawn
once for each look, and a line is sent to the terminal again only when it would look other than it does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from textual.cache import LRUCache
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.pageset import Int64Array
from widgets.columns import Cell, Column, Placed, Span, fit_columns
from widgets.drawing import strip_of
from widgets.rows import NoRows, Rows
from widgets.table_lines import MARGIN, header_spans, row_spans


class _Header(NamedTuple):
    """Line 0."""

    sort_column: str
    sort_descending: bool


class _Row(NamedTuple):
    """All that decides how the line of a row looks."""

    cells: tuple[Cell, ...]
    is_cursor: bool
    has_focus: bool


class _Blank(NamedTuple):
    """A line below the last row."""

    text: str


_Line = _Header | _Row | _Blank


class LineView(ScrollView):
    """Lines of rows in columns. What is in which order, and where the cursor is, `LineTable` decides."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-table--header",
        "line-table--header-unit",
        "line-table--header-sorted",
        "line-table--row",
        "line-table--cursor",
        "line-table--empty",
        "line-table--dim",
    }

    DEFAULT_CSS = """
    LineView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        width: 1fr;
        height: 1fr;
        & > .line-table--header { color: $foreground 70%; text-style: none; }
        & > .line-table--header-unit { color: $foreground 45%; text-style: none; }
        & > .line-table--header-sorted { color: $text-primary; text-style: bold; }
        & > .line-table--cursor { background: $foreground 8%; }
        &:focus > .line-table--cursor { background: $primary 28%; }
        & > .line-table--empty { color: $foreground 55%; text-style: italic; }
        & > .line-table--dim { color: $foreground 45%; }
        &:ansi {
            & > .line-table--header, & > .line-table--row { color: ansi_default; }
            & > .line-table--header-unit, & > .line-table--dim, & > .line-table--empty {
                color: ansi_default; text-style: dim;
            }
            & > .line-table--cursor { background: ansi_default; text-style: underline; }
            &:focus > .line-table--cursor { background: ansi_default; text-style: reverse; }
        }
        &:nocolor {
            & > .line-table--cursor { text-style: underline; }
            &:focus > .line-table--cursor { text-style: reverse; }
        }
    }
    """

    sort_column: reactive[str] = reactive("", init=False)
    """Key of the column that rows are sorted by."""
    sort_descending: reactive[bool] = reactive(False, init=False)
    """Whether the largest is on top."""
    empty_text: reactive[str] = reactive("nothing to show", init=False)
    """What is said in place of rows; literal."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._columns = tuple(columns)
        self._placed: tuple[Placed, ...] = ()
        self._rows: Rows = NoRows()
        self._order: Int64Array = np.empty(0, np.int64)
        self._cursor = 0
        self._cells: LRUCache[int, tuple[Cell, ...]] = LRUCache(1024)
        self._shown: dict[int, _Line] = {}
        self._strips: LRUCache[tuple[_Line, int], Strip] = LRUCache(1024)

    # -- what is shown

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, whether there is room for them or not."""
        return self._columns

    @property
    def visible_columns(self) -> tuple[str, ...]:
        """Keys of the columns there is room for, from left to right."""
        return tuple(place.column.key for place in self._placed)

    @property
    def row_count(self) -> int:
        """How many rows the data has."""
        return len(self._rows)

    @property
    def shown_count(self) -> int:
        """How many rows pass the filter."""
        return len(self._order)

    @property
    def shown_identities(self) -> list[Hashable]:
        """Every shown row's identity, from top to bottom."""
        return [self._rows.identity(row) for row in self._order.tolist()]

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show these columns from now on."""
        if tuple(columns) == self._columns:
            return
        self._columns = tuple(columns)
        self._place_columns()

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self._refresh_changed()

    # -- drawing

    @property
    def _view_height(self) -> int:
        return max(0, self.scrollable_content_region.height - 1)

    @property
    def _top(self) -> int:
        return self.scroll_offset.y

    def _set_rows(self, rows: Rows) -> None:
        self._rows = rows
        self._cells.clear()

    def _set_order(self, order: Int64Array) -> None:
        self._order = order
        self.virtual_size = Size(self.size.width, len(order) + 1)

    def notify_style_update(self) -> None:
        """Forget what was drawn in other colours."""
        super().notify_style_update()
        self._strips.clear()

    def _place_columns(self) -> None:
        width = self.scrollable_content_region.width - 2 * MARGIN
        self._placed = fit_columns(self._columns, width) if width > 0 else ()
        self._cells.clear()
        self._strips.clear()
        self._shown.clear()
        self.virtual_size = Size(self.size.width, len(self._order) + 1)
        self.refresh()

    def _refresh_changed(self) -> None:
        """Have those lines drawn again that would look other than they do."""
        for y in range(self.scrollable_content_region.height):
            if self._shown.get(y) != self._content(y):
                self.refresh_line(y + self._top)

    def _content(self, y: int) -> _Line:
        if y == 0:
            return _Header(self.sort_column, self.sort_descending)
        index = self._top + y - 1
        if index >= len(self._order):
            return _Blank(self.empty_text if y == 2 and not len(self._order) else "")
        row = int(self._order[index])
        cells = self._cells.get(row)
        if cells is None:
            cells = tuple(self._rows.cell(row, place.column.key, place.width) for place in self._placed)
            self._cells[row] = cells
        return _Row(cells, index == self._cursor, self.has_focus)

    def render_line(self, y: int) -> Strip:
        """One line of the view; line 0 is the header, wherever the table is scrolled to."""
        line = self._content(y)
        self._shown[y] = line
        width = self.scrollable_content_region.width
        strip = self._strips.get((line, width))
        if strip is None:
            strip = self._strip(line, width)
            self._strips[line, width] = strip
        return strip

    def _strip(self, line: _Line, width: int) -> Strip:
        match line:
            case _Header(sort_column, descending):
                spans = header_spans(self._placed, sort_column, descending)
            case _Blank(text):
                spans = [Span(" " * MARGIN), Span(text, "line-table--empty")]
            case _Row(cells, is_cursor, _):
                spans = row_spans(self._placed, cells)
                return strip_of(self, spans, width, "line-table--cursor" if is_cursor else "line-table--row")
        return strip_of(self, spans, width, "line-table--row")
