"""The last events: who joined and left, what failed."""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Final, Literal, NamedTuple

from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.printable import printable
from widgets.columns import Span, fit_cell
from widgets.drawing import strip_of

Severity = Literal["information", "warning", "error"]

_KEPT: Final = 500
SIGNS: Final[dict[Severity, str]] = {"information": "·", "warning": "!", "error": "✗"}
"""So that a severity shows without colours too."""


class _Entry(NamedTuple):
    clock: str
    text: str
    severity: Severity


class EventLog(ScrollView, can_focus=False):
    """The newest line is at the bottom and in view, unless one has scrolled up to read."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "event-log--clock",
        "event-log--information",
        "event-log--warning",
        "event-log--error",
        "event-log--empty",
    }

    DEFAULT_CSS = """
    EventLog {
        width: 1fr;
        height: 1fr;
        min-height: 3;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        & > .event-log--clock { color: $foreground 45%; }
        & > .event-log--information { color: $foreground 85%; }
        & > .event-log--warning { color: $text-warning; }
        & > .event-log--error { color: $text-error; text-style: bold; }
        & > .event-log--empty { color: $foreground 55%; text-style: italic; }
        &:ansi {
            & > .event-log--clock, & > .event-log--empty { color: ansi_default; text-style: dim; }
            & > .event-log--information { color: ansi_default; }
        }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._entries: deque[_Entry] = deque(maxlen=_KEPT)
        self._follows = True
        self.border_title = Content("events")

    def add(self, clock: str, text: str, severity: Severity = "information") -> None:
        """Add one line; the oldest goes when there are 500.

        Args:
            clock: when, as in "12:34:56".
            text: what happened; literal, and made printable here.
            severity: its colour, and the sign before it.
        """
        self._entries.append(_Entry(clock, printable(text), severity))
        self.virtual_size = Size(self.size.width, len(self._entries))
        self._follow()
        self.refresh()

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()
        self.virtual_size = Size(self.size.width, 0)
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following the newest line; scrolling to the end begins it again."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = round(new_value) >= self.max_scroll_y

    def on_resize(self) -> None:
        """Keep the newest line in view."""
        self._follow()

    def _follow(self) -> None:
        if self._follows:
            # By force: until the next layout Textual believes that there is nothing to scroll.
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """One event."""
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if index < len(self._entries):
            spans = _spans(self._entries[index])
        elif y == 0:
            spans = [Span("nothing has happened yet", "event-log--empty")]
        else:
            spans = []
        return strip_of(self, fit_cell(spans, width), width)


def _spans(entry: _Entry) -> list[Span]:
    style = f"event-log--{entry.severity}"
    return [
        Span(printable(entry.clock) + " ", "event-log--clock"),
        Span(SIGNS[entry.severity] + " ", style),
        Span(entry.text, style),
    ]
