"""The table of who writes: functions, lines, threads, mappings or chains, and how much each has written."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from engine.pageset import Int64Array
from engine.units import format_count, format_percent
from widgets.columns import Cell, Column, Span
from widgets.line_table import LineTable
from widgets.rows import ranks, stable_order

if TYPE_CHECKING:  # heavy, and only named here
    from engine.attribution.report import Row

_COLUMNS: Final = (
    Column("rate", "pages/s", 10, "right", descending=True),
    Column("share", "share", 6, "right", priority=2, descending=True),
    Column("bar", "", 8, wide=16, priority=4, descending=True),
    Column("name", "function", 20, flexible=True, wide=60),
    Column("where", "where", 14, wide=28, priority=3),
)
_DIM: Final = "line-table--dim"
_SHARE: Final = "writer-table--share"


class WriterRows:
    """Writers as rows. See `widgets.rows.Rows`."""

    def __init__(self, rows: Sequence[Row], written_pages: int, seconds: float) -> None:
        self._rows = rows
        self._seconds = max(seconds, 1e-9)
        self._pages = np.array([row.pages for row in rows], np.int64)
        self._all = max(written_pages, int(self._pages.sum()), 1)

    def __len__(self) -> int:
        """How many writers."""
        return len(self._rows)

    def identity(self, row: int) -> tuple[str, str]:
        """What it is called, and where it is."""
        return self._rows[row].name, self._rows[row].where

    def find(self, identity: Hashable) -> int | None:
        """The writer of that name."""
        return next((row for row in range(len(self)) if self.identity(row) == identity), None)

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """Sorted by a column, equal ones by pages."""
        rows = np.arange(len(self), dtype=np.int64)
        return stable_order(self._keys(column), descending, rows)

    def _keys(self, column: str) -> NDArray[Any]:
        match column:
            case "name":
                return ranks([row.name for row in self._rows])
            case "where":
                return ranks([row.where for row in self._rows])
        return self._pages

    def cell(self, row: int, column: str, width: int) -> Cell:
        """One figure or name, justified by the table."""
        writer = self._rows[row]
        share = writer.pages / self._all
        match column:
            case "rate":
                return (Span(format_count(writer.pages / self._seconds)),)
            case "share":
                return (Span(format_percent(share)),)
            case "bar":
                cells = min(width, max(1, round(share * width)))
                return Span("█" * cells, _SHARE), Span("░" * (width - cells), _DIM)
            case "where":
                return (Span(writer.where, _DIM),)
        return (Span(writer.name),)


class WriterTable(LineTable):
    """Who has written how much, the most first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {_SHARE}

    DEFAULT_CSS = """
    WriterTable {
        & > .writer-table--share { color: $text-accent; }
        &:ansi > .writer-table--share { color: ansi_default; }
    }
    """

    cursor_starts_on_top = True

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(
            _COLUMNS, sort_column="rate", sort_descending=True, name=name, id=id, classes=classes
        )

    def show_writers(self, rows: Sequence[Row], written_pages: int, seconds: float, *, title: str) -> None:
        """Show these in place of what is shown.

        Args:
            rows: who has written.
            written_pages: by all of them, and by those of whom nothing is known.
            seconds: in so long a time.
            title: what a row stands for.
        """
        self.set_columns(
            [replace(column, title=title) if column.key == "name" else column for column in _COLUMNS]
        )
        self.show_rows(WriterRows(rows, written_pages, seconds))
