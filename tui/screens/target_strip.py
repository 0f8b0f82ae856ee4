"""One line that names the watched targets, if there are several; a click brings one into view."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.target import Stage, Target

_NAME_CELLS = 20


class TargetStrip(Widget):
    """The targets side by side."""

    ALLOW_SELECT = False

    class Chosen(Message):
        """The user clicked a target."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self) -> None:
        super().__init__()
        self._labels: list[tuple[str, str]] = []

    def show_targets(self, targets: Sequence[Target], current: Target | None) -> None:
        """Show these; hidden if there is no choice."""
        self._labels = [
            (_label(number, target), _style(target, target is current))
            for number, target in enumerate(targets, 1)
        ]
        self.set_class(len(self._labels) < 2, "-single")
        self.refresh()

    def render(self) -> Content:
        """The labels, as many as there is room for."""
        return Content.assemble(*((label, style) for label, style in self._labels))

    def on_click(self, event: events.Click) -> None:
        """Find the target under the pointer."""
        x = event.get_content_offset_capture(self).x
        for index, (label, _) in enumerate(self._labels):
            x -= cell_len(label)
            if x < 0:
                self.post_message(self.Chosen(index))
                return


def _label(number: int, target: Target) -> str:
    name = target.command or "…"
    if len(name) > _NAME_CELLS:
        name = name[: _NAME_CELLS - 1] + "…"
    if target.stage in (Stage.GONE, Stage.REFUSED):
        mark = "✕ "
    else:
        mark = "◆ " if target.is_busy else "◇ " if target.wait is not None else ""
    return f" {number} {mark}{name} {target.pid} "


def _style(target: Target, is_current: bool) -> str:
    if is_current:
        return "bold $block-cursor-foreground on $block-cursor-background"
    return "$foreground 60%"
