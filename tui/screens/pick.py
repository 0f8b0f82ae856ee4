"""The picker: which process to watch."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from engine.processes import ProcessRow
from tui import keys
from tui.desk import Desk
from tui.screens.filter_bar import FilterBar
from tui.targets.told import TargetsPicked
from tui.threads.process_watcher import ProcessesListed, ProcessWatcher
from widgets.line_table import LineTable
from widgets.process_table import ProcessIdentity, ProcessTable


class PickScreen(Screen[None]):
    """Lists the processes, live; says which were picked with a `TargetsPicked`."""

    AUTO_FOCUS = "ProcessTable"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.PICK]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._rows: dict[ProcessIdentity, ProcessRow] = {}
        self._table = ProcessTable(id="processes")
        self._watcher = ProcessWatcher(desk.backend, self.post_message)

    def compose(self) -> ComposeResult:
        """The list, and what is known of the process under the cursor."""
        with Horizontal(id="title"):
            yield Static(Content.assemble(("dirtytop", "bold $primary"), "  pick a process to watch"))
            yield Static("", id="counts", markup=False)
        yield self._table
        yield FilterBar(self._table, "part of a command, a user or a pid")
        yield Static("", id="about", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Take up the settings and begin to look."""
        settings = self._desk.settings
        self._table.as_tree = settings.process_tree
        if settings.process_sort:
            self._table.sort_by(
                settings.process_sort.removeprefix("-"), settings.process_sort.startswith("-")
            )
        self.watch(self._table, "filter_text", self._filtered, init=False)
        self._watcher.start()

    def on_unmount(self) -> None:
        """Stop looking."""
        self._watcher.stop()

    def on_screen_suspend(self) -> None:
        """Another screen is in front."""
        self._watcher.sleep()

    def on_screen_resume(self) -> None:
        """In front again."""
        self._watcher.wake()

    @on(ProcessesListed)
    def _listed(self, message: ProcessesListed) -> None:
        self._rows = {ProcessIdentity(row.pid, row.start_ticks): row for row in message.rows}
        self._table.show_processes(message.rows)
        self.query_one(FilterBar).show_count()
        self._tell_counts()
        self._tell_about()

    @on(ProcessTable.TagsChanged)
    def _tell_counts(self) -> None:
        count = f"{len(self._rows):,} processes"
        tagged = len(self._table.tagged_pids)
        self.query_one("#counts", Static).update(f"{tagged} tagged · {count}" if tagged else count)

    @on(LineTable.RowHighlighted)
    def _tell_about(self) -> None:
        row = self._table.cursor_row
        about = self.query_one("#about", Static)
        if row is None:
            about.update("")
        elif row.untrackable:
            about.update(Content.assemble(("cannot be watched: ", "$warning"), row.untrackable))
        else:
            about.update(Content.styled(f"{row.user} · {row.command}", "$foreground 60%"))

    def _filtered(self, filter_text: str) -> None:
        # Flat while a filter is typed: what Enter takes is a process that matches, not its ancestor.
        self._table.as_tree = self._desk.settings.process_tree and not filter_text
        self._table.action_cursor_first()

    @on(LineTable.SortChanged)
    def _sorted(self, event: LineTable.SortChanged) -> None:
        self._desk.remember(process_sort=("-" if event.descending else "") + event.column)

    @on(LineTable.RowSelected)
    def _selected(self) -> None:
        self.action_watch()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no way back from the first screen, unless a filter can be cleared."""
        if action == "back":
            return len(self.app.screen_stack) > 1 or self.query_one(FilterBar).is_open
        return True

    def action_watch(self) -> None:
        """Watch what is tagged; if nothing is, the process under the cursor."""
        picked = self._table.tagged_roots
        if not picked:
            row = self._table.cursor_row
            if row is None:
                return
            picked = (ProcessIdentity(row.pid, row.start_ticks),)
        refused = [row for each in picked if (row := self._rows.get(each)) and row.untrackable]
        for row in refused:
            self._desk.tell(
                f"{row.command}\ncannot be watched: {row.untrackable}",
                title=f"process {row.pid}",
                severity="warning",
            )
        if not refused:
            self.app.post_message(TargetsPicked(picked))

    def action_tag(self) -> None:
        """Tag or untag the process under the cursor, and go on to the next."""
        self._table.action_toggle_tag()

    def action_untag(self) -> None:
        """Untag all."""
        self._table.clear_tags()

    def action_tree(self) -> None:
        """As a tree, or flat."""
        tree = not self._table.as_tree
        self._table.as_tree = tree
        self._desk.remember(process_tree=tree)

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterBar).open()

    def action_sort(self, step: int) -> None:
        """Sort by the next or the previous column."""
        self._table.cycle_sort(step)

    def action_reverse_sort(self) -> None:
        """Turn the order round."""
        self._table.reverse_sort()

    def action_back(self) -> None:
        """Clear the filter, or go back to the dashboard."""
        filter_bar = self.query_one(FilterBar)
        if filter_bar.is_open:
            filter_bar.close()
        elif len(self.app.screen_stack) > 1:
            self.dismiss()
