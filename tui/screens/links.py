"""The links of a chain in full: what was written, what it cost, what is not held, how to restore it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.checkpoint.link import LinkResult
from engine.printable import printable
from tui.desk import Desk
from tui.keys import key
from tui.screens.maker_log import show_maker_log
from tui.screens.restore import copy_restore
from tui.target import Target
from tui.words import ENGINES, link_name, restore_command, stopped, verdict
from widgets.units import format_count, format_duration, say_bytes


class LinkFacts(Static, can_focus=True):
    """One link in full."""

    def __init__(self, result: LinkResult) -> None:
        super().__init__(link_facts(result), classes="link")
        self.result = result


class LinksScreen(ModalScreen[None]):
    """Every figure the engine gave, the newest link on top; the one with the focus can be acted on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,l,enter", "dismiss", "Close", "app.close", shown="esc"),
        key("L", "maker_log", "CRIU's log", "checkpoint.maker_log", "CRIU's log of this link"),
        key("y", "copy_restore", "Copy restore", "checkpoint.copy", "Copy the command that restores this"),
        Binding("down,j", "app.focus_next", "Older", show=False),
        Binding("up,k", "app.focus_previous", "Newer", show=False),
    ]
    AUTO_FOCUS = "LinkFacts"

    def __init__(self, desk: Desk, target: Target) -> None:
        super().__init__()
        self._desk = desk
        self._target = target

    def compose(self) -> ComposeResult:
        """One block a link."""
        with VerticalScroll(classes="dialog wide", can_focus=False) as dialog:
            dialog.border_title = Content(f"chain of {self._target.command} {self._target.pid}")
            dialog.border_subtitle = Content("↑↓ another · y copies its restore · L its log · Esc closes")
            for result in reversed(self._target.links):
                yield LinkFacts(result)

    @property
    def _chosen(self) -> LinkResult:
        focused = self.focused
        return focused.result if isinstance(focused, LinkFacts) else self._target.links[-1]

    def action_copy_restore(self) -> None:
        """Copy the restore command of the link with the focus."""
        if self._chosen.restorable:
            copy_restore(self.app, self._desk, self._chosen)
        else:
            self._desk.tell(f"{link_name(self._chosen)} cannot be restored from.", severity="warning")

    def action_maker_log(self) -> None:
        """Show the log of the link with the focus."""
        show_maker_log(self.app, self._desk, self._desk.backend.find_log(self._chosen.path))


def link_facts(result: LinkResult) -> Content:
    """All of a link's figures, a line each."""
    lines = [Content.styled(f"{link_name(result)} · {ENGINES[result.engine]}", "bold $primary")]
    facts = list(_facts(result))
    facts += [("not held", text) for text in result.not_held]
    facts += [("note", text) for text in result.notes]
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        style = "$warning" if name in ("not held", "note") else "$foreground 60%"
        lines.append(Content.assemble((f"  {name.rjust(width)}  ", style), printable(text)))
    return Content("\n").join(lines)


def _facts(result: LinkResult) -> Iterator[tuple[str, str]]:
    yield "in", str(result.path)
    yield "written", f"{say_bytes(result.size_bytes)} ({format_count(result.pages_written)} pages)"
    yield "in its parent", f"{format_count(result.pages_in_parent)} pages"
    yield "target", stopped(result).removeprefix("target ")
    if result.seconds:  # a link of an earlier program does not tell
        speed = result.size_bytes / result.copy_s if result.copy_s > 0 else 0.0
        yield "copying", f"{format_duration(result.copy_s)} ({say_bytes(speed)}/s)"
        yield "making it durable", format_duration(result.sync_s)
        yield "in all", format_duration(result.seconds)
    yield "restorable", verdict(result)
    if result.restorable:
        yield "restore it by", restore_command(result)
