"""The last events: processes that joined and left, and what failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar, Final, Literal, NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.printable import printable
from widgets.columns import Span, fit_cell
from widgets.drawing import strip_of

Severity = Literal["information", "warning", "error"]

_KEPT: Final = 500
_LEAST_ROOM: Final = 16
"""Cells beside the clock from which it is worth while to break lines."""
SIGNS: Final[dict[Severity, str]] = {"information": "·", "warning": "!", "error": "✗"}
"""So that a severity shows without colours too."""


class LogLine(NamedTuple):
    """One line of an event log."""

    clock: str
    """The time of day, as in "12:34:56"."""
    text: str
    severity: Severity = "information"


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

    def __init__(
        self,
        *,
        wraps: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """Args:
        wraps: whether an event takes as many lines as it needs; else one, cut where there is no more room.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._wraps = wraps
        self._entries: deque[LogLine] = deque()
        self._count = 0
        self._lines: list[list[Span]] = []
        self._follows = True
        self.border_title = Content("events")

    def add(self, clock: str, text: str, severity: Severity = "information") -> None:
        """Add one line; the oldest goes when there are 500.

        Args:
            clock: when, as in "12:34:56".
            text: what happened; literal, and made printable here.
            severity: its colour, and the sign before it.
        """
        entry = LogLine(printable(clock), printable(text), severity)
        self._entries.append(entry)
        self._lines += self._lines_of(entry)
        if len(self._entries) > _KEPT:
            del self._lines[: len(self._lines_of(self._entries.popleft()))]
        self._lines_changed()

    def show_log(self, lines: Sequence[LogLine], count: int) -> None:
        """Add what is new of a log.

        Args:
            lines: its newest, oldest first.
            count: how many there have been since it began.
        """
        new = min(count - self._count, len(lines))
        self._count = count
        for line in lines[len(lines) - new :]:
            self.add(*line)

    def clear(self) -> None:
        """Forget them all."""
        self._count = 0
        self._entries.clear()
        self._lines.clear()
        self._lines_changed()

    def _lines_of(self, entry: LogLine) -> list[list[Span]]:
        first = _spans(entry)
        indent = sum(cell_len(span.text) for span in first[:-1])
        # One cell is left for the scrollbar, which may come.
        room = self.size.width - 1 - indent
        if not self._wraps or room < _LEAST_ROOM:
            return [first]
        parts = wrap(entry.text, room, break_on_hyphens=False) or [""]
        style = first[-1].style
        more = [[Span(" " * indent), Span(part, style)] for part in parts[1:]]
        return [[*first[:-1], Span(parts[0], style)], *more]

    def _lines_changed(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._lines))
        self._follow()
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following the newest line; scrolling to the end begins it again."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = round(new_value) >= self.max_scroll_y

    def on_resize(self) -> None:
        """Break lines again, and keep the newest in view."""
        self._lines = [line for entry in self._entries for line in self._lines_of(entry)]
        self._lines_changed()

    def _follow(self) -> None:
        if self._follows:
            # By force: until the next layout Textual believes that there is nothing to scroll.
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """One line of an event."""
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if index < len(self._lines):
            spans = self._lines[index]
        elif y == 0:
            spans = [Span("nothing has happened yet", "event-log--empty")]
        else:
            spans = []
        return strip_of(self, fit_cell(spans, width), width)


def _spans(entry: LogLine) -> list[Span]:
    style = f"event-log--{entry.severity}"
    return [
        Span(entry.clock + " ", "event-log--clock"),
        Span(SIGNS[entry.severity] + " ", style),
        Span(entry.text, style),
    ]
