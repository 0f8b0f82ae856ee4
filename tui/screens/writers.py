"""Who writes: which code of a target writes its memory, for as long as this is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.attribution.report import By
from engine.printable import printable
from engine.units import format_count, format_percent, say_duration
from tui.desk import Desk
from tui.keys import HELP, key
from tui.targets.target import Target
from widgets.writer_table import WriterTable

if TYPE_CHECKING:  # heavy, and only named here
    from engine.attribution.report import Writers

_KINDS: Final = tuple(By)


class WritersScreen(ModalScreen[None]):
    """A table of functions, lines, threads, mappings or chains of callers, and how much each has written.

    Every first write to a page counts once a tick, for the code that made it. Looking costs the target
    something, so it ends as this is closed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,W", "close", "Close", "app.close", "Look no more, and close", shown="esc"),
        key(
            "v,tab", "next_kind", "By", "writers.by", "By function, line, thread, mapping or chain", shown="v"
        ),
        key("s,greater_than_sign", "sort(1)", "Sort", "table.sort_next", "Sort by the next column"),
        key("I", "reverse_sort", "Reverse", "table.reverse", "Reverse the order"),
        HELP,
    ]
    AUTO_FOCUS = "WriterTable"

    def __init__(self, desk: Desk, target: Target) -> None:
        super().__init__()
        self._desk = desk
        self._target = target
        self._by = By.FUNCTION
        self._shown: tuple[By, Writers] | None = None

    def compose(self) -> ComposeResult:
        """What it adds up to, and the table."""
        with Vertical(classes="dialog wide links") as dialog:
            dialog.border_title = Content(f"who writes · {printable(self._target.name)}")
            dialog.border_subtitle = Content("v function, line, thread, mapping, chain · s sort · Esc")
            yield Static("", id="summary", markup=False)
            table = WriterTable(id="writers")
            table.empty_text = "the next tick tells …"
            yield table

    def on_mount(self) -> None:
        """Begin to look."""
        self._target.watch_writers(self._desk.backend.watch_writers)
        self.watch(self.app, "shown", self._show)

    def on_unmount(self) -> None:
        """Look no more."""
        self._target.stop_watching_writers()

    def _show(self) -> None:
        facts, table = self._target.facts, self.query_one(WriterTable)
        summary = self.query_one("#summary", Static)
        if facts.writers_error is not None:
            error = facts.writers_error
            summary.update(Content.styled(printable(error.message), "$text-error"))
            table.empty_text = printable(error.hint or "")
            table.show_writers((), 0, 1.0, title=self._by.value)
            return
        if facts.writers is None or self._shown == (self._by, facts.writers):
            return
        self._shown = self._by, facts.writers
        summary.update(_summary(facts.writers))
        table.empty_text = "nothing was written"
        rows = facts.writers.tables.get(self._by, ())
        table.show_writers(rows, facts.writers.written_pages, facts.writers.seconds, title=self._by.value)

    def action_close(self) -> None:
        """Back to the dashboard."""
        self.dismiss()

    def action_next_kind(self) -> None:
        """Have rows stand for something else."""
        self._by = _KINDS[(_KINDS.index(self._by) + 1) % len(_KINDS)]
        self._show()

    def action_sort(self, step: int) -> None:
        """Sort by the next column."""
        self.query_one(WriterTable).cycle_sort(step)

    def action_reverse_sort(self) -> None:
        """Turn the order round."""
        self.query_one(WriterTable).reverse_sort()


def _summary(writers: Writers) -> Content:
    """One line, and another if something is to be known."""
    estimated = f", estimated from 1 in {writers.one_in}" if writers.one_in > 1 else ""
    unknown = format_count(writers.unattributed_pages)
    lines = [
        f"{format_count(writers.written_pages)} pages in {say_duration(writers.seconds)}{estimated} · "
        f"{unknown} unattributed · costs {format_percent(writers.cpu)} of a core"
    ]
    if writers.lost_faults:
        lines.append(f"{format_count(writers.lost_faults)} writes came too fast to be looked at")
    if writers.hint:
        lines.append(writers.hint)
    return Content("\n".join(lines))
