"""A text to read, wrapped to the width, with lines that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import chop_cells
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.printable import printable
from widgets.columns import Span
from widgets.drawing import strip_of
from widgets.event_log import Severity


class TextLines(ScrollView, can_focus=True):
    """Scrolls by the usual keys."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "text-lines--information",
        "text-lines--warning",
        "text-lines--error",
    }

    DEFAULT_CSS = """
    TextLines {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .text-lines--information { color: $foreground 85%; }
        & > .text-lines--warning { color: $text-warning; }
        & > .text-lines--error { color: $text-error; text-style: bold; }
        &:ansi > .text-lines--information { color: ansi_default; }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._lines: tuple[tuple[str, Severity], ...] = ()
        self._rows: list[Span] = []
        self._first_rows: list[int] = []
        self._brought_into_view = -1

    def show_lines(self, lines: Sequence[tuple[str, Severity]], bring_into_view: int = 0) -> None:
        """Show these, literally.

        Args:
            lines: each with how grave it is.
            bring_into_view: the index of the one to begin with.
        """
        self._lines = tuple((printable(text), severity) for text, severity in lines)
        self._brought_into_view = bring_into_view
        self._wrap()

    def on_resize(self) -> None:
        """Break lines again."""
        self._wrap()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        self._rows, self._first_rows = [], []
        for text, severity in self._lines:
            self._first_rows.append(len(self._rows))
            self._rows += [Span(row, f"text-lines--{severity}") for row in chop_cells(text, width) or [""]]
        self.virtual_size = Size(width, len(self._rows))
        if 0 <= self._brought_into_view < len(self._first_rows):
            # A little of what went before helps to read it.
            at = self._first_rows[self._brought_into_view] - 2
            self.call_after_refresh(self.scroll_to, y=max(0, at), animate=False, force=True)
            self._brought_into_view = -1
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the view."""
        at = self.scroll_offset.y + y
        spans = self._rows[at : at + 1]
        return strip_of(self, spans, self.scrollable_content_region.width)
