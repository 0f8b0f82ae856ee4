"""Processes as columns: what the process table sorts, filters, and shows flat or as a tree."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from engine.pageset import Int64Array
from engine.printable import printable
from engine.units import format_bytes
from widgets.columns import Cell, Span
from widgets.rows import ranks, stable_order

TAGGED: Final = "●"
COMES_ALONG: Final = "○"


class ProcessRow(Protocol):
    """One process, as the engine lists it. All text is printable."""

    @property
    def pid(self) -> int:
        """Its pid."""

    @property
    def start_ticks(self) -> int:
        """When it started; with the pid it names the process for good."""

    @property
    def parent_pid(self) -> int:
        """Whose child it is."""

    @property
    def user(self) -> str:
        """The user that it runs as."""

    @property
    def rss_bytes(self) -> int:
        """Resident memory."""

    @property
    def cpu_percent(self) -> float:
        """Of one CPU."""

    @property
    def command(self) -> str:
        """Command line."""

    @property
    def threads(self) -> int:
        """How many."""

    @property
    def untrackable(self) -> str:
        """Why it cannot be tracked; "" if it can."""


class ProcessIdentity(NamedTuple):
    """What names a process for good: its pid and when it started."""

    pid: int
    start_ticks: int


class ProcessRows:
    """The rows of one list of processes. See `widgets.rows.Rows`."""

    def __init__(
        self, processes: Sequence[ProcessRow], *, as_tree: bool, tagged: Set[ProcessIdentity] = frozenset()
    ) -> None:
        self.processes = tuple(processes)
        self._as_tree = as_tree
        self._row_of_pid = {process.pid: row for row, process in enumerate(self.processes)}
        self._parents = [self._parent_row(row) for row in range(len(self.processes))]
        self._guides: dict[int, str] = {}
        self.tagged_roots = self._roots_of(tagged)
        self._tagged = {self.identity(row) for row in range(len(self.processes))} & set(tagged)
        self.tagged_pids = self._pids_under(self.tagged_roots)

    def _parent_row(self, row: int) -> int:
        """Row of the parent, -1 for none. A parent is older than its child; a reused pid is not."""
        process = self.processes[row]
        parent = self._row_of_pid.get(process.parent_pid, -1)
        if parent in (-1, row) or self.processes[parent].start_ticks > process.start_ticks:
            return -1
        return parent

    def _ancestors(self, row: int) -> list[int]:
        """Rows of parent, grandparent, …; ends even if the list has a circle, which a race can make."""
        found: list[int] = []
        at = self._parents[row]
        while at >= 0 and at != row and at not in found:
            found.append(at)
            at = self._parents[at]
        return found

    # -- tags

    def _roots_of(self, tagged: Set[ProcessIdentity]) -> tuple[ProcessIdentity, ...]:
        """Those tagged that live and have no tagged ancestor, ascending by pid."""
        return tuple(
            sorted(
                self.identity(row)
                for row in range(len(self.processes))
                if self.identity(row) in tagged
                and not any(self.identity(above) in tagged for above in self._ancestors(row))
            )
        )

    def _pids_under(self, roots: tuple[ProcessIdentity, ...]) -> frozenset[int]:
        """Pids of these and of their descendants, those left out that cannot be tracked."""
        if not roots:
            return frozenset()
        chosen = set(roots)
        return frozenset(
            process.pid
            for row, process in enumerate(self.processes)
            if not process.untrackable
            and any(self.identity(each) in chosen for each in (row, *self._ancestors(row)))
        )

    # -- the protocol of a table's data

    def __len__(self) -> int:
        """How many processes."""
        return len(self.processes)

    def identity(self, row: int) -> ProcessIdentity:
        """Pid and start time."""
        process = self.processes[row]
        return ProcessIdentity(process.pid, process.start_ticks)

    def find(self, identity: Hashable) -> int | None:
        """The row of that process, if it lives."""
        if not isinstance(identity, ProcessIdentity):
            return None
        row = self._row_of_pid.get(identity.pid)
        return row if row is not None and self.identity(row) == identity else None

    def arrange(self, column: str, descending: bool, filter_text: str) -> Int64Array:
        """Sorted by a column, equal ones by pid; as a tree: siblings so, under their parent."""
        everyone = np.arange(len(self), dtype=np.int64)
        by_pid = stable_order(self._keys("pid"), False, everyone)
        order = stable_order(self._keys(column), descending, by_pid)
        shown = self._matching(filter_text)
        if not self._as_tree:
            self._guides = {}
            return order[shown[order]]
        for row in np.flatnonzero(shown).tolist():
            shown[self._ancestors(row)] = True
        return np.array(self._tree(order[shown[order]].tolist()), np.int64)

    def _tree(self, order: list[int]) -> list[int]:
        """The rows of `order`, each under its parent; remembers the guides drawn before them."""
        children: dict[int, list[int]] = {}
        for row in order:
            # A process in a circle of parents has nobody above it to be drawn under.
            parent = self._parents[row]
            is_top = parent < 0 or row in self._ancestors(parent)
            children.setdefault(-1 if is_top else parent, []).append(row)
        self._guides = {}
        placed: list[int] = []
        waiting = [(row, "", "") for row in reversed(children.get(-1, []))]
        while waiting:
            row, guide, below = waiting.pop()
            self._guides[row] = guide
            placed.append(row)
            mine = children.get(row, [])
            waiting.extend(
                (child, below + ("└─" if last else "├─"), below + ("  " if last else "│ "))
                for child, last in reversed([(child, child == mine[-1]) for child in mine])
            )
        return placed

    def _matching(self, filter_text: str) -> NDArray[np.bool_]:
        words = filter_text.lower().split()
        return np.fromiter(
            (_matches(process, words) for process in self.processes), np.bool_, len(self.processes)
        )

    def _keys(self, column: str) -> NDArray[Any]:
        match column:
            case "user" | "command":
                return ranks([getattr(process, column) for process in self.processes])
            case "note":
                return ranks([process.untrackable for process in self.processes])
            case "rss":
                return np.array([process.rss_bytes for process in self.processes], np.int64)
            case "cpu":
                return np.array([process.cpu_percent for process in self.processes], np.float64)
            case "threads":
                return np.array([process.threads for process in self.processes], np.int64)
            case "tag":
                return np.array([process.pid not in self.tagged_pids for process in self.processes], np.int64)
        return np.array([process.pid for process in self.processes], np.int64)

    def cell(self, row: int, column: str, width: int) -> Cell:
        """One figure or text; all of a row is held back if it cannot be tracked."""
        process = self.processes[row]
        if column == "tag":
            return (Span(self._tag(row), "process-table--tag"),)
        if column == "command":
            guide = self._guides.get(row, "")
            line = _command(printable(process.command), width - len(guide), bool(process.untrackable))
            return (Span(guide, "process-table--guide"), *line)
        text = _text(process, column)
        is_zero = column == "cpu" and process.cpu_percent < 0.05
        return (Span(text, "line-table--dim" if process.untrackable or is_zero else ""),)

    def _tag(self, row: int) -> str:
        if self.identity(row) in self._tagged:
            return TAGGED
        return COMES_ALONG if self.processes[row].pid in self.tagged_pids else " "


def _text(process: ProcessRow, column: str) -> str:
    match column:
        case "pid":
            return str(process.pid)
        case "user":
            return printable(process.user)
        case "rss":
            return format_bytes(process.rss_bytes) if process.rss_bytes else "·    "
        case "cpu":
            return f"{process.cpu_percent:.1f}"
        case "threads":
            return str(process.threads)
    return printable(process.untrackable)


def _command(command: str, width: int, is_dim: bool) -> Cell:
    """A command line in which the program's name stands out; its directory goes first if room is short."""
    if is_dim:
        return (Span(command, "line-table--dim"),)
    program, space, arguments = command.partition(" ")
    directory, slash, name = program.rpartition("/")
    if not name:
        return (Span(command),)
    directory += slash
    # The sign that arguments were cut takes a cell, and would take it from the name.
    if cell_len(directory + name) + len(space) > width:
        directory = ""
    return (
        Span(directory, "line-table--dim"),
        Span(name, "process-table--program"),
        Span(space + arguments, "process-table--arguments"),
    )


def _matches(process: ProcessRow, words: list[str]) -> bool:
    """Whether each word is in the command or the user's name, or begins the pid."""
    return all(
        word in process.command.lower() or word in process.user.lower() or str(process.pid).startswith(word)
        for word in words
    )
