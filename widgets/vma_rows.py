"""The VMAs of a target tree as columns: what the VMA table sorts, filters and shows of one sample.

Everything that concerns all rows is NumPy; Python looks at single rows only when they come into view.
What depends on the maps alone (names, their order, the filter's verdict) is kept until they change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from engine.kernel.maps import Vma, VmaKind
from engine.pageset import PAGE_SHIFT, Int64Array
from engine.tracking.sample import ProcessSample, Sample
from engine.units import NOTHING, ZERO, Unit, format_age, format_bytes, format_count
from widgets.columns import ELLIPSIS, Cell, Span
from widgets.measured import has_rates
from widgets.rows import ranks, stable_order
from widgets.trend import TrendRing, bars

TREND_DEPTH: Final = 24

_BoolArray = NDArray[np.bool_]
_MIB: Final = 1 << 20
_HEAT_STEPS_BYTES: Final = (1.0, 1.0 * _MIB, 10.0 * _MIB, 100.0 * _MIB, 1000.0 * _MIB)
"""Written bytes per second from which a row is this hot: a decade a step."""
HEAT: Final = ("", *(f"vma-table--heat-{step}" for step in range(1, len(_HEAT_STEPS_BYTES) + 1)))


class VmaIdentity(NamedTuple):
    """What names a VMA from one sample to the next: its process and where it starts, in bytes."""

    pid: int
    start: int


class MapsIndex:
    """What of the rows depends on the maps alone."""

    def __init__(self, processes: tuple[ProcessSample, ...]) -> None:
        self.pids = tuple(process.pid for process in processes)
        self.maps = tuple(process.maps for process in processes)
        self.offsets: Int64Array = np.cumsum([0, *(len(maps.vmas) for maps in self.maps)], dtype=np.int64)
        self._first_rows: list[int] = self.offsets.tolist()
        self.starts = _joined([maps.starts for maps in self.maps])
        self.ends = _joined([maps.ends for maps in self.maps])
        self._ranks: dict[str, Int64Array] = {}
        self._match: tuple[str, Int64Array] | None = None

    def __len__(self) -> int:
        """How many VMAs."""
        return int(self.offsets[-1])

    def is_of(self, processes: tuple[ProcessSample, ...]) -> bool:
        """Whether these processes still have the very maps this was made of."""
        return self.pids == tuple(process.pid for process in processes) and all(
            mine is process.maps for mine, process in zip(self.maps, processes, strict=True)
        )

    def process_of(self, row: int) -> int:
        """Which process the row belongs to, by position."""
        return bisect_right(self._first_rows, row) - 1

    def vma(self, row: int) -> Vma:
        """The VMA of this row."""
        process = self.process_of(row)
        return self.maps[process].vmas[row - self._first_rows[process]]

    def find(self, pid: int, start: int) -> int | None:
        """The row of the VMA of `pid` that holds the byte address `start`."""
        if pid not in self.pids:
            return None
        process = self.pids.index(pid)
        at = self.maps[process].index_at(start >> PAGE_SHIFT)
        return None if at is None else int(self.offsets[process]) + at

    def rows_before(self, before: MapsIndex) -> Int64Array:
        """For each row the row it was in `before`, -1 if it is new.

        A heap keeps its start as it grows, a stack its end: either is enough.
        """
        found: Int64Array = np.full(len(self), -1, np.int64)
        for process, (pid, maps) in enumerate(zip(self.pids, self.maps, strict=True)):
            if pid not in before.pids or not maps.vmas:
                continue
            old_process = before.pids.index(pid)
            old = before.maps[old_process]
            mine = found[int(self.offsets[process]) : int(self.offsets[process + 1])]
            if old.vmas:
                for bounds, old_bounds in ((maps.ends, old.ends), (maps.starts, old.starts)):
                    at = np.minimum(np.searchsorted(old_bounds, bounds), len(old_bounds) - 1)
                    same = old_bounds[at] == bounds
                    mine[same] = at[same] + before.offsets[old_process]
        return found

    def pid_of_each(self) -> Int64Array:
        """Pid of each row, shape (n,)."""
        return np.repeat(np.array(self.pids, np.int64), np.diff(self.offsets))

    def ranks(self, column: str) -> Int64Array:
        """Place of each row in the alphabetical order of a text column: "perms", "kind" or "name"."""
        if column not in self._ranks:
            self._ranks[column] = ranks([_text(vma, column) for vma in self._vmas()])
        return self._ranks[column]

    def matching(self, filter_text: str) -> Int64Array:
        """Rows that hold every word of the filter in their name, kind, perms or address, ascending."""
        if self._match is None or self._match[0] != filter_text:
            matches: _BoolArray = np.ones(len(self), np.bool_)
            for word in filter_text.lower().split():
                matches &= self._matching_word(word)
            self._match = filter_text, np.flatnonzero(matches)
        return self._match[1]

    @cached_property
    def _texts(self) -> tuple[list[str], Int64Array]:
        """The distinct texts that a filter looks into, and which of them each row has; shape (n,)."""
        numbers: dict[tuple[str, VmaKind, str], int] = {}
        of_each = np.fromiter(
            (numbers.setdefault((vma.perms, vma.kind, vma.name), len(numbers)) for vma in self._vmas()),
            np.int64,
            len(self),
        )
        # A word never matches across the end of one text and the beginning of the next.
        return ["\n".join((perms, kind.value, name)).lower() for perms, kind, name in numbers], of_each

    @cached_property
    def _addresses(self) -> list[str]:
        return [f"{vma.start:x}-{vma.end:x}" for vma in self._vmas()]

    def _vmas(self) -> Iterator[Vma]:
        return chain.from_iterable(maps.vmas for maps in self.maps)

    def _matching_word(self, word: str) -> _BoolArray:
        texts, of_each = self._texts
        found: _BoolArray = np.array([word in text for text in texts], np.bool_)[of_each]
        digits = word.removeprefix("0x")
        if digits and not set(digits) - set("0123456789abcdef-"):
            found |= np.fromiter((digits in address for address in self._addresses), np.bool_, len(self))
        if 5 <= len(digits) <= 16 and "-" not in digits and digits.isalnum():
            # A whole address finds the VMA it lies in.
            try:
                page = int(digits, 16) >> PAGE_SHIFT
            except ValueError:
                return found
            found |= (self.starts <= page) & (page < self.ends)
        return found


class VmaRows:
    """The rows of one sample. See `widgets.rows.Rows`."""

    def __init__(self, sample: Sample, index: MapsIndex, trends: TrendRing, hot_only: bool) -> None:
        processes = sample.processes
        self.index = index
        self.hot_only = hot_only
        self._trends = trends
        self._page_bytes = sample.page_bytes
        self._present = _joined([process.present_pages for process in processes])
        self._written = _joined([process.written_pages for process in processes])
        self._since_armed = _joined([process.since_armed_pages for process in processes])
        self._pending = _joined([process.pending_pages for process in processes])
        ages = [process.last_write_s for process in processes]
        self._age: NDArray[np.float64] = np.concatenate(ages) if ages else np.empty(0)
        measured = has_rates(sample) and sample.interval_s > 0
        self._per_s = sample.page_bytes / sample.interval_s if measured else 0.0
        self.memory_unit = Unit.for_largest(int(self._present.max(initial=0)) * sample.page_bytes)
        self.rate_unit = Unit.for_largest(float(self._written.max(initial=0)) * self._per_s)

    @property
    def rates(self) -> NDArray[np.float64]:
        """Written bytes per second, shape (n,)."""
        return np.asarray(self._written * self._per_s, np.float64)

    def __len__(self) -> int:
        """How many VMAs."""
        return len(self.index)

    def identity(self, row: int) -> VmaIdentity:
        """Process and start."""
        return VmaIdentity(self.index.pids[self.index.process_of(row)], self.index.vma(row).start)

    def find(self, identity: Hashable) -> int | None:
        """The VMA that starts there, or that has swallowed the one that did."""
        return self.index.find(*identity) if isinstance(identity, VmaIdentity) else None

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """Sorted by a column, equal ones by process and address."""
        rows = (
            self.index.matching(filter_text) if filter_text.strip() else np.arange(len(self), dtype=np.int64)
        )
        if self.hot_only:
            rows = rows[self._written[rows] > 0]
        keys = self._keys(column)
        return rows if keys is None else stable_order(keys, descending, rows)

    def _keys(self, column: str) -> NDArray[Any] | None:
        match column:
            case "pid":
                return self.index.pid_of_each()
            case "address":
                return self.index.starts
            case "size":
                return self.index.ends - self.index.starts
            case "present":
                return self._present
            case "written" | "rate" | "trend":
                return self._written
            case "armed":
                return self._since_armed
            case "pending":
                return self._pending
            case "age":
                return self._age
            case "perms" | "kind" | "name":
                return self.index.ranks(column)
        return None

    def cell(self, row: int, column: str, width: int) -> Cell:
        """One figure or name, justified by the table."""
        match column:
            case "rate":
                return self._memory(float(self._written[row]) * self._per_s, self.rate_unit, self._heat(row))
            case "present":
                return self._memory(int(self._present[row]) * self._page_bytes, self.memory_unit)
            case "armed":
                return self._memory(int(self._since_armed[row]) * self._page_bytes, self.memory_unit)
            case "pending":
                return self._memory(int(self._pending[row]) * self._page_bytes, self.memory_unit)
            case "written":
                count = int(self._written[row])
                return (Span(format_count(count), self._heat(row)) if count else _ZERO,)
            case "age":
                age = format_age(float(self._age[row]))
                return (Span(age, _DIM if age == NOTHING else ""),)
            case "trend":
                heat = self._heat(row)
                # A steady trickle fills its bars as a flood does; held back, it does not shout.
                return (Span(bars(self._trends.of(row), width), heat if heat > HEAT[1] else _DIM),)
            case "pid":
                return (Span(str(self.index.pids[self.index.process_of(row)])),)
        return self._of_vma(self.index.vma(row), column, width)

    def _of_vma(self, vma: Vma, column: str, width: int) -> Cell:
        match column:
            case "address":
                whole = f"{vma.start:012x}-{vma.end:012x}"
                return (Span(whole if len(whole) <= width else f"{vma.start:012x}"),)
            case "size":
                return (Span(format_bytes(vma.size_bytes)),)
            case "name":
                return name_cell(vma.name, width)
        return (Span(_text(vma, column), _DIM if column == "kind" else ""),)

    def _heat(self, row: int) -> str:
        rate = float(self._written[row]) * self._per_s
        if rate <= 0:
            return HEAT[1] if self._written[row] else ""
        return HEAT[max(1, bisect_right(_HEAT_STEPS_BYTES, rate))]

    def _memory(self, amount_bytes: float, unit: Unit, style: str = "") -> Cell:
        return (Span(unit.format(amount_bytes), style),) if amount_bytes else (_ZERO,)


_DIM: Final = "line-table--dim"
_ZERO: Final = Span(ZERO, _DIM)


def _text(vma: Vma, column: str) -> str:
    return vma.kind.value if column == "kind" else vma.perms if column == "perms" else vma.name


def name_cell(name: str, width: int) -> Cell:
    """A path with its directory held back, so that the file stands out; the directory is cut first."""
    directory, slash, file = name.rpartition("/")
    if not slash or not file or not name.startswith("/"):
        return (Span(name),)
    directory += slash
    if cell_len(name) > width:
        directory = ELLIPSIS + _last_cells(directory, width - cell_len(file) - 1)
    return Span(directory, _DIM), Span(file)


def _last_cells(text: str, width: int) -> str:
    """The longest end of `text` that takes at most `width` cells."""
    first = len(text)
    while first > 0 and (width := width - cell_len(text[first - 1])) >= 0:
        first -= 1
    return text[first:]


def _joined(parts: list[Int64Array]) -> Int64Array:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


EMPTY_INDEX: Final = MapsIndex(())
