"""The table of VMAs: which mappings of the target are being written, how fast, and since when."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

from textual.reactive import reactive

from engine.tracking.sample import RateMode, Sample
from widgets.columns import Column
from widgets.line_table import LineTable
from widgets.rows import NoRows
from widgets.trend import TrendRing
from widgets.vma_rows import EMPTY_INDEX, HEAT, TREND_DEPTH, MapsIndex, VmaIdentity, VmaRows

__all__ = ["VmaIdentity", "VmaTable"]

_PID: Final = Column("pid", "pid", 7, "right", priority=1)
_COLUMNS: Final = (
    Column("address", "address", 12, wide=25),
    Column("perms", "perm", 4, priority=5),
    Column("size", "size", 9, "right", priority=2, descending=True),
    Column("present", "present", 11, "right", "MiB", priority=6, descending=True),
    Column("written", "written", 10, "right", "pg", priority=9, descending=True),
    Column("rate", "rate", 10, "right", "MiB/s", descending=True),
    Column("trend", "trend", 8, wide=16, priority=3, descending=True),
    Column("armed", "armed", 9, "right", "MiB", priority=4, descending=True),
    Column("pending", "pending", 11, "right", "MiB", priority=7, descending=True),
    Column("age", "last", 5, "right", priority=8),
    Column("kind", "kind", 12, priority=10),
    Column("name", "name", 14, flexible=True, wide=24),
)
_FIRST: Final = {"written": "new", "rate": "new"}
_MEMORY: Final = ("present", "armed", "pending")


class VmaTable(LineTable):
    """The VMAs of the target and its descendants, hottest first.

    `RowHighlighted` and `RowSelected` carry a `VmaIdentity`.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {name for name in HEAT if name}

    DEFAULT_CSS = """
    VmaTable {
        & > .vma-table--heat-1 { color: $foreground 75%; }
        & > .vma-table--heat-2 { color: $text-success; }
        & > .vma-table--heat-3 { color: $text-warning; }
        & > .vma-table--heat-4 { color: $text-warning; text-style: bold; }
        & > .vma-table--heat-5 { color: $text-error; text-style: bold; }
    }
    """

    cursor_starts_on_top = True

    hot_only: reactive[bool] = reactive(False, init=False)
    """Show only what was written in the last tick."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(
            _COLUMNS, sort_column="rate", sort_descending=True, name=name, id=id, classes=classes
        )
        self._index = EMPTY_INDEX
        self._trends = TrendRing(TREND_DEPTH)
        self._sample: Sample | None = None
        self.set_reactive(LineTable.empty_text, "waiting for the first tick…")

    def show_sample(self, sample: Sample) -> None:
        """Show what this tick found. The same sample again, as after a pause, adds nothing to the trend."""
        if sample is self._sample:
            return
        if not self._index.is_of(sample.processes):
            index = MapsIndex(sample.processes)
            self._trends.remap(index.rows_before(self._index))
            self._index = index
        if sample.number == 0:
            # Armed once more: what was written before no longer counts.
            self._trends.clear()
            self._trends.remap(self._index.rows_before(EMPTY_INDEX))
        self._sample = sample
        rows = VmaRows(sample, self._index, self._trends, self.hot_only)
        self._trends.push(rows.rates)
        self._show(rows)

    def clear(self) -> None:
        """Forget the target."""
        self._index = EMPTY_INDEX
        self._sample = None
        self._trends.clear()
        self.show_rows(NoRows())

    def watch_hot_only(self) -> None:
        """Choose the rows again."""
        if self._sample is not None:
            self._show(VmaRows(self._sample, self._index, self._trends, self.hot_only))

    def _show(self, rows: VmaRows) -> None:
        units = {"rate": rows.rate_unit.name + "/s", **dict.fromkeys(_MEMORY, rows.memory_unit.name)}
        columns = [replace(column, unit=units.get(column.key, column.unit)) for column in _COLUMNS]
        if self._sample is not None and self._sample.mode is RateMode.CUMULATIVE:
            # A page counts once since armed: when it is first written.
            columns = [replace(each, title=_FIRST.get(each.key, each.title)) for each in columns]
        if len(self._index.pids) > 1:
            columns.insert(0, _PID)
        self.set_columns(columns)
        if not len(rows):
            self.empty_text = "the target has exited"
        else:
            self.empty_text = (
                "nothing was written in the last tick: h shows all"
                if self.hot_only
                else "no mapping matches: Esc shows all"
            )
        self.show_rows(rows)
