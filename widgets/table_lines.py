"""Lines of a table as spans: rows and header, laid out in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from widgets.columns import Cell, Column, Placed, Span, fit_cell

MARGIN: Final = 1
"""Cells left and right of every line, so that the cursor bar does not touch the text."""


def row_spans(placed: Sequence[Placed], cells: Sequence[Cell], margin: int = MARGIN) -> list[Span]:
    """The cells of one row, each in its column."""
    spans = []
    x = -margin
    for place, cell in zip(placed, cells, strict=True):
        spans.append(Span(" " * (place.x - x)))
        spans.extend(fit_cell(cell, place.width, place.column.justify))
        x = place.x + place.width
    return spans


def header_spans(placed: Sequence[Placed], sort_column: str, descending: bool) -> list[Span]:
    """The titles; the arrow of the sorted column borrows a cell of the gap beside it."""
    spans = []
    x = -MARGIN
    for column, start, width in placed:
        title, unit = title_cell(column)
        cell: Cell = (title, unit)
        if column.key == sort_column:
            title = title._replace(style="line-table--header-sorted")
            arrow = Span("▼" if descending else "▲", "line-table--header-sorted")
            is_right = column.justify == "right"
            cell = (arrow, title, unit) if is_right else (title, unit, arrow)
            start, width = start - is_right, width + 1
        spans.append(Span(" " * (start - x)))
        spans.extend(fit_cell(cell, width, column.justify))
        x = start + width
    return spans


def title_cell(column: Column) -> tuple[Span, Span]:
    """A column's title and its unit."""
    unit = f" {column.unit}" if column.unit else ""
    return Span(column.title, "line-table--header"), Span(unit, "line-table--header-unit")


def column_at(placed: Sequence[Placed], x: int) -> str:
    """Key of the column there, the cells beside it included; "" beyond the last."""
    for place in placed:
        if place.x - 1 <= x <= place.x + place.width:
            return place.column.key
    return ""
