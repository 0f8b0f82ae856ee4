"""Columns of a table, and how they share the width there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

GAP: Final = 2
"""Cells between two columns."""
ELLIPSIS: Final = "…"
ESSENTIAL: Final = 4

Justify = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    width: int
    """Cells it needs; of a flexible column, the least that makes sense."""
    justify: Justify = "left"
    unit: str = ""
    """Shown after the title; the same for every figure of the column."""
    wide: int = 0
    """Cells it takes where there is room to spare; 0: never more than `width`. A flexible column comes
    first, and others widen once it has as many."""
    flexible: bool = False
    """Takes what the others leave."""
    priority: int = 0
    """Where there is too little room, the highest goes first; 0 stays to the last. Those above
    `ESSENTIAL` also make way for the wide form of a flexible column."""
    descending: bool = False
    """Whether its first sort puts the largest on top."""


class Placed(NamedTuple):
    """A column and where it is drawn."""

    column: Column
    x: int
    width: int


class Span(NamedTuple):
    """A piece of a cell: literal text, and the component class that styles it ("" for the row's own)."""

    text: str
    style: str = ""


Cell = tuple[Span, ...]


def fit_columns(columns: Sequence[Column], width: int) -> tuple[Placed, ...]:
    """Choose the columns that fit into `width` cells, and place them from left to right.

    Columns are left out by priority until the rest fits with every flexible one at its least. What is left
    goes to the flexible ones, to columns that have a wide form, the most important first, and then
    again to the flexible ones.
    Nothing is ever placed beyond `width`.
    """
    kept = list(columns)
    while len(kept) > 1:
        # Of equals the rightmost goes; a flexible column is what the table is about.
        least = max(reversed(kept), key=lambda column: (column.priority, not column.flexible))
        comfort = _comfort(kept) if least.priority > ESSENTIAL else 0
        if _needed(kept) + comfort <= width:
            break
        kept.remove(least)
    widths = {column.key: column.width for column in kept}
    spare = width - _needed(kept)
    flexible = [column for column in kept if column.flexible]
    reserved = _comfort(kept)
    for column in sorted(kept, key=lambda column: column.priority):
        growth = column.wide - column.width
        if not column.flexible and 0 < growth <= spare - reserved:
            widths[column.key] += growth
            spare -= growth
    for share, column in enumerate(flexible):
        taken = max(0, spare) // (len(flexible) - share)
        widths[column.key] += taken
        spare -= taken
    placed = []
    x = 0
    for column in kept:
        placed.append(Placed(column, x, max(0, min(widths[column.key], width - x))))
        x += widths[column.key] + GAP
    return tuple(placed)


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def _comfort(columns: Sequence[Column]) -> int:
    """What the flexible columns would like to have beyond their least."""
    return sum(max(0, column.wide - column.width) for column in columns if column.flexible)


def fit_cell(cell: Iterable[Span], width: int, justify: Justify = "left") -> list[Span]:
    """The spans of `cell` in exactly `width` cells: padded, or cut with an ellipsis.

    Widths are those of the terminal (wide characters take two cells); a wide character that would
    be cut in half is replaced by a space.
    """
    if width <= 0:
        return []
    fitted: list[Span] = []
    room = width
    spans = list(cell)
    overflows = sum(cell_len(span.text) for span in spans) > width
    if overflows:
        room -= 1
    for span in spans:
        length = cell_len(span.text)
        if length <= room:
            fitted.append(span)
            room -= length
            continue
        fitted.append(Span(set_cell_size(span.text, room) + ELLIPSIS, span.style))
        return fitted
    padding = Span(" " * room)
    return [padding, *fitted] if justify == "right" else [*fitted, padding]
