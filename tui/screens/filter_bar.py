"""The line in which a filter is typed; what it says is applied at every key."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from widgets.line_table import LineTable


class _FilterInput(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear the filter", id="table.clear", tooltip="Show every row again"),
        Binding("enter", "submit", "To the rows", key_display="⏎", tooltip="Go on with what is left"),
        Binding("down", "leave", "To the rows", show=False),
    ]

    def action_clear(self) -> None:
        """Filter no more."""
        bar = self.parent
        assert isinstance(bar, FilterBar)
        bar.close()

    def action_leave(self) -> None:
        """Go on with the rows that are shown."""
        bar = self.parent
        assert isinstance(bar, FilterBar)
        bar.leave()


class FilterBar(Horizontal):
    """Filters a table. Hidden until opened; it stays for as long as there is a filter."""

    def __init__(self, table: LineTable, placeholder: str) -> None:
        super().__init__()
        self._table = table
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """The prompt, the line, and how much is left."""
        yield Static("/", markup=False, classes="prompt")
        yield _FilterInput(placeholder=self._placeholder, compact=True, select_on_focus=False)
        yield Static("", markup=False, classes="count")

    def on_mount(self) -> None:
        """Stay out of the way."""
        self.display = False

    @property
    def is_open(self) -> bool:
        """Whether it is in view."""
        return self.display

    def open(self) -> None:
        """Let the user type."""
        self.display = True
        self.show_count()
        self.query_one(_FilterInput).focus()

    def leave(self) -> None:
        """Back to the rows; the filter stays if there is one."""
        if not self._table.filter_text:
            self.display = False
        self._table.focus()

    def close(self) -> None:
        """Back to all rows."""
        self.query_one(_FilterInput).value = ""
        self._table.filter_text = ""
        self.leave()

    def show_count(self) -> None:
        """Say how many rows are left, after the table's data has changed."""
        if not self.display:
            return
        self.query_one(".count", Static).update(f"{self._table.shown_count:,} of {self._table.row_count:,}")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as the user types."""
        event.stop()
        self._table.filter_text = event.value
        self.show_count()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: go on with what is left."""
        event.stop()
        self.leave()
