"""The table of a link's areas: which memory it saved, and which it left to its parent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from engine.images.areas import Area
from engine.pageset import PAGE_SIZE, Int64Array
from engine.printable import printable
from engine.units import ZERO, Unit, format_count
from widgets.columns import Cell, Column, Span
from widgets.line_table import LineTable
from widgets.rows import ranks, stable_order
from widgets.vma_rows import name_cell

_PID: Final = Column("pid", "pid", 7, "right", priority=2)
_COLUMNS: Final = (
    Column("address", "address", 12, wide=25, priority=1),
    Column("perms", "perm", 4, priority=5),
    Column("written", "saved here", 14, "right", "MiB", descending=True),
    Column("pages", "pages", 10, "right", priority=6, descending=True),
    Column("parent", "in parent", 13, "right", "MiB", priority=3, descending=True),
    Column("share", "saved", 8, wide=16, priority=4, descending=True),
    Column("name", "name", 14, flexible=True, wide=24),
)
_MEMORY: Final = ("written", "parent")


class AreaRows:
    """The areas as rows. See `widgets.rows.Rows`."""

    def __init__(self, areas: Sequence[Area], page_bytes: int) -> None:
        self._areas = areas
        self._page_bytes = page_bytes
        self._written = np.array([area.written_pages for area in areas], np.int64)
        self._parent = np.array([area.in_parent_pages for area in areas], np.int64)
        largest = max(int(self._written.max(initial=0)), int(self._parent.max(initial=0)))
        self.unit = Unit.for_largest(largest * page_bytes)

    def __len__(self) -> int:
        """How many areas."""
        return len(self._areas)

    def identity(self, row: int) -> tuple[int, int]:
        """Process and start."""
        return self._areas[row].pid, self._areas[row].start

    def find(self, identity: Hashable) -> int | None:
        """The area that starts there."""
        return next((row for row in range(len(self)) if self.identity(row) == identity), None)

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """Sorted by a column, equal ones by process and address."""
        rows = np.arange(len(self), dtype=np.int64)
        keys = self._keys(column)
        return rows if keys is None else stable_order(keys, descending, rows)

    def _keys(self, column: str) -> NDArray[Any] | None:
        match column:
            case "written" | "pages":
                return self._written
            case "parent":
                return self._parent
            case "share":
                return np.asarray(self._written / np.maximum(self._written + self._parent, 1))
            case "pid":
                return np.array([area.pid for area in self._areas], np.int64)
            case "address":
                return np.array([area.start for area in self._areas], np.int64)
            case "perms":
                return ranks([area.perms for area in self._areas])
            case "name":
                return ranks([area.name for area in self._areas])
        return None

    def cell(self, row: int, column: str, width: int) -> Cell:
        """One figure or name, justified by the table."""
        area = self._areas[row]
        match column:
            case "written":
                return self._memory(area.written_pages, "area-table--written")
            case "pages":
                return (Span(format_count(area.written_pages)),) if area.written_pages else _ZERO
            case "parent":
                return self._memory(area.in_parent_pages)
            case "share":
                cells = _cells(area, width)
                return Span("█" * cells, "area-table--written"), Span("░" * (width - cells), _DIM)
            case "pid":
                return (Span(str(area.pid)),) if area.pid else _ZERO
            case "address":
                whole = f"{area.start:012x}-{area.end:012x}"
                return (Span(whole if len(whole) <= width else f"{area.start:012x}"),)
            case "perms":
                return (Span(area.perms or ZERO),)
        return name_cell(printable(area.name), width) if area.perms else (Span(area.name, _DIM),)

    def _memory(self, pages: int, style: str = "") -> Cell:
        return (Span(self.unit.format(pages * self._page_bytes), style),) if pages else _ZERO


def _cells(area: Area, width: int) -> int:
    """How much of a bar is full: a little is never shown as nothing, nor all but a little as everything."""
    if not area.in_parent_pages:
        return width
    if not area.written_pages:
        return 0
    share = area.written_pages / (area.written_pages + area.in_parent_pages)
    return min(max(round(share * width), 1), width - 1)


_DIM: Final = "line-table--dim"
_ZERO: Final = (Span(ZERO, _DIM),)


class AreaTable(LineTable):
    """Of each area of a link how much was saved here, the most first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"area-table--written"}

    DEFAULT_CSS = """
    AreaTable {
        & > .area-table--written { color: $text-accent; }
        &:ansi > .area-table--written { color: ansi_default; }
    }
    """

    cursor_starts_on_top = True

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(
            _COLUMNS, sort_column="written", sort_descending=True, name=name, id=id, classes=classes
        )

    def show_areas(self, areas: Sequence[Area], page_bytes: int = PAGE_SIZE) -> None:
        """Show these in place of what is shown."""
        rows = AreaRows(areas, page_bytes)
        units = dict.fromkeys(_MEMORY, rows.unit.name)
        columns = [replace(column, unit=units.get(column.key, "")) for column in _COLUMNS]
        if len({area.pid for area in areas}) > 1:
            columns.insert(0, _PID)
        self.set_columns(columns)
        self.show_rows(rows)
