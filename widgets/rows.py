"""What a `LineTable` asks of its data, and the sorting that all kinds of data share."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.pageset import Int64Array
from widgets.columns import Cell


class Rows(Protocol):
    """What a table shows. Row numbers run from 0 and may mean other rows in the next data."""

    def __len__(self) -> int:
        """How many rows, shown or not."""

    def identity(self, row: int) -> Hashable:
        """What names this row in this data and the next."""

    def find(self, identity: Hashable) -> int | None:
        """The row of that name, if there is one."""

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """The rows to show, in their order. Equal rows keep an order that does not change by itself."""

    def cell(self, row: int, column: str, width: int) -> Cell:
        """What to show there: text fit for a terminal. `width` is how much room it will have."""


class NoRows:
    """A table's data before it has any."""

    def __len__(self) -> int:
        """None."""
        return 0

    def identity(self, row: int) -> Hashable:
        """Never asked."""
        raise IndexError(row)

    def find(self, identity: Hashable) -> int | None:
        """Not here."""
        return None

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """Nothing to show."""
        return np.empty(0, np.int64)

    def cell(self, row: int, column: str, width: int) -> Cell:
        """Never asked."""
        raise IndexError(row)


def stable_order(keys: NDArray[Any], descending: bool, among: Int64Array) -> Int64Array:
    """`among`, sorted by `keys[among]`; equal ones stay as they are, whichever the direction.

    NaN, for "unknown", comes last in both directions.
    """
    chosen = keys[among]
    if descending:
        # Negation would overflow the least integer and cannot be had of booleans; ranks can.
        chosen = -chosen.astype(np.float64) if chosen.dtype.kind != "f" else -chosen
    return among[np.argsort(chosen, kind="stable")]


def ranks(texts: list[str]) -> Int64Array:
    """For each text its place in alphabetical order, equal texts sharing one; shape (n,).

    Comparing strings is what costs, and most of a large table's names are the same few.
    """
    place = {text: rank for rank, text in enumerate(sorted(set(texts), key=str.casefold))}
    return np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))
