"""The whole event log of a target."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen

from tui.keys import key
from tui.targets.target import Target
from widgets.event_log import EventLog


class LogScreen(ModalScreen[None]):
    """What happened to a target, oldest first; new lines come in while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,e,enter", "dismiss", "Close", "app.close", shown="esc"),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
        Binding("pagedown", "scroll(10)", "Page down", show=False),
    ]

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def compose(self) -> ComposeResult:
        """The log alone."""
        log = EventLog(wraps=True, classes="dialog wide")
        log.border_title = Content(f"events of {self._target.name}")
        log.border_subtitle = Content("↑↓ move · Esc closes")
        yield log

    def on_mount(self) -> None:
        """Fill in what there is."""
        self.watch(self.app, "shown", self._show)

    def _show(self) -> None:
        log = self._target.facts.log
        self.query_one(EventLog).show_log(log.lines, log.count)

    def action_scroll(self, lines: int) -> None:
        """Move by so many lines."""
        self.query_one(EventLog).scroll_relative(y=lines, animate=False)
