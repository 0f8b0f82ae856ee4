"""The links of a chain in full: what was written, what it cost, and what is not held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.checkpoint.link import LinkResult
from engine.printable import printable
from tui.keys import key
from tui.target import Target
from tui.words import ENGINES, link_name, stopped
from widgets.units import format_count, format_duration, say_bytes


class LinksScreen(ModalScreen[None]):
    """Every figure the engine gave, the newest link on top."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,l,enter", "dismiss", "Close", "app.close", shown="esc"),
    ]

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def compose(self) -> ComposeResult:
        """One block a link."""
        with VerticalScroll(classes="dialog wide") as dialog:
            dialog.border_title = Content(f"chain of {self._target.command} {self._target.pid}")
            dialog.border_subtitle = Content("Esc closes")
            for result in reversed(self._target.links):
                yield Static(link_facts(result), classes="link")


def link_facts(result: LinkResult) -> Content:
    """All of a link's figures, a line each."""
    lines = [Content.styled(f"{link_name(result)} · {ENGINES[result.engine]}", "bold $primary")]
    facts = list(_facts(result))
    facts += [("not held", text) for text in result.not_held]
    facts += [("note", text) for text in result.notes]
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        style = "$warning" if name == "not held" else "$foreground 60%"
        lines.append(Content.assemble((f"  {name.rjust(width)}  ", style), printable(text)))
    return Content("\n").join(lines)


def _facts(result: LinkResult) -> Iterator[tuple[str, str]]:
    yield "in", str(result.path)
    yield "written", f"{say_bytes(result.size_bytes)} ({format_count(result.pages_written)} pages)"
    yield "in its parent", f"{format_count(result.pages_in_parent)} pages"
    yield "target", stopped(result).removeprefix("target ")
    speed = result.size_bytes / result.copy_s if result.copy_s > 0 else 0.0
    yield "copying", f"{format_duration(result.copy_s)} ({say_bytes(speed)}/s)"
    yield "making it durable", format_duration(result.sync_s)
    yield "in all", format_duration(result.seconds)
    yield "restorable", "yes" if result.restorable else "no"
