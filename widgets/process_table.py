"""The table of processes, to pick targets from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from widgets.columns import Column
from widgets.line_table import LineTable
from widgets.process_rows import ProcessIdentity, ProcessRow, ProcessRows

__all__ = ["ProcessIdentity", "ProcessRow", "ProcessTable"]

_COLUMNS: Final = (
    Column("tag", "", 1),
    Column("pid", "pid", 7, "right"),
    Column("user", "user", 8, wide=12, priority=3),
    Column("cpu", "cpu", 6, "right", "%", priority=2, descending=True),
    Column("rss", "rss", 9, "right", priority=1, descending=True),
    Column("threads", "thr", 5, "right", priority=4, descending=True),
    Column("command", "command", 26, flexible=True, wide=40),
    Column("note", "untrackable", 13, wide=26, priority=1),
)


class ProcessTable(LineTable):
    """Processes, flat or as a tree; space tags them, and their descendants come along.

    `RowHighlighted` and `RowSelected` carry a `ProcessIdentity`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_tag", "Tag", tooltip="Tag this process; its descendants come along"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "process-table--tag",
        "process-table--guide",
        "process-table--program",
        "process-table--arguments",
    }

    DEFAULT_CSS = """
    ProcessTable {
        & > .process-table--tag { color: $text-accent; text-style: bold; }
        & > .process-table--guide { color: $foreground 35%; }
        & > .process-table--program { color: $foreground; }
        & > .process-table--arguments { color: $foreground 65%; }
        &:ansi {
            & > .process-table--guide { color: ansi_default; text-style: dim; }
            & > .process-table--program, & > .process-table--arguments { color: ansi_default; }
        }
    }
    """

    as_tree: reactive[bool] = reactive(False, init=False)
    """Each process under its parent; else flat."""

    class TagsChanged(Message):
        """Other processes are tagged than before: by the user, or because some have come or gone."""

        def __init__(
            self,
            table: ProcessTable,
            tagged_pids: frozenset[int],
            roots: tuple[ProcessIdentity, ...],
        ) -> None:
            super().__init__()
            self.table = table
            self.tagged_pids = tagged_pids
            """Descendants included."""
            self.roots = roots
            """Those with no tagged ancestor: what sessions are to be opened on."""

        @property
        def control(self) -> ProcessTable:
            """The table, for `@on` selectors."""
            return self.table

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(_COLUMNS, sort_column="rss", sort_descending=True, name=name, id=id, classes=classes)
        self._tags: set[ProcessIdentity] = set()
        self._processes = ProcessRows((), as_tree=False)
        self.set_reactive(LineTable.empty_text, "looking for processes…")

    @property
    def tagged_pids(self) -> frozenset[int]:
        """Pids of what is tagged, and of its descendants."""
        return self._processes.tagged_pids

    @property
    def tagged_roots(self) -> tuple[ProcessIdentity, ...]:
        """What is tagged and has no tagged ancestor, ascending by pid."""
        return self._processes.tagged_roots

    @property
    def cursor_row(self) -> ProcessRow | None:
        """The process under the cursor."""
        identity = self.cursor_identity
        row = self._processes.find(identity) if identity is not None else None
        return None if row is None else self._processes.processes[row]

    def show_processes(self, rows: Sequence[ProcessRow]) -> None:
        """Show these, in any order; tags of those that are gone are forgotten."""
        self.empty_text = "no process matches: Esc shows all"
        self._show(rows)
        self._tags = {tag for tag in self._tags if self._processes.find(tag) is not None}

    def toggle_tag(self) -> None:
        """Tag or untag the process under the cursor; one that cannot be tracked stays as it is."""
        row = self.cursor_row
        if row is None or row.untrackable:
            return
        self._tags ^= {ProcessIdentity(row.pid, row.start_ticks)}
        self._show(self._processes.processes)

    def clear_tags(self) -> None:
        """Untag all."""
        self._tags.clear()
        self._show(self._processes.processes)

    def action_toggle_tag(self) -> None:
        """Tag or untag, and go on to the next row."""
        self.toggle_tag()
        self.action_cursor_by(1)

    def watch_as_tree(self) -> None:
        """Arrange the rows again."""
        self._show(self._processes.processes)

    def _show(self, rows: Sequence[ProcessRow]) -> None:
        before = self._processes.tagged_pids, self._processes.tagged_roots
        self._processes = ProcessRows(rows, as_tree=self.as_tree, tagged=self._tags)
        self.show_rows(self._processes)
        after = self._processes.tagged_pids, self._processes.tagged_roots
        if after != before:
            self.post_message(self.TagsChanged(self, *after))
