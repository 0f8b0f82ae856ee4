"""The chain as a flow of boxes, from left to right: one link each, to be opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.images.layout import LinkKind
from engine.pageset import PAGE_SIZE
from engine.printable import printable
from engine.units import NOTHING, format_bytes, format_duration, say_bytes
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.heat_words import empty_lines

_BOX: Final = 21
_ARROW: Final = " → "
_BOX_HEIGHT: Final = 6
_LABEL: Final = "chain-flow--label"


class ChainFlow(SpanView, can_focus=True):
    """Boxes of kind, bytes, what the parent holds and the stop; in few lines, one line and the facts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Link before", show=False),
        Binding("right", "move(1)", "Link after", show=False),
        Binding("home", "first", "First link", show=False),
        Binding("end", "last", "Last link", show=False),
        Binding("enter", "open", "Its areas", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chain-flow--label",
        "chain-flow--frame",
        "chain-flow--pre-dump",
        "chain-flow--dump",
        "chain-flow--cursor",
        "chain-flow--bar",
        "chain-flow--rest",
        "heat-map--empty",
    }

    DEFAULT_CSS = """
    ChainFlow {
        width: 1fr;
        height: 1fr;
        min-height: 3;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        &:focus { border: round $border; }
        & > .chain-flow--label { color: $foreground 60%; }
        & > .chain-flow--frame { color: $foreground 35%; }
        & > .chain-flow--pre-dump { color: $text-primary; text-style: bold; }
        & > .chain-flow--dump { color: $text-accent; text-style: bold; }
        & > .chain-flow--cursor { color: $foreground; text-style: bold; }
        &:focus > .chain-flow--cursor { color: $accent; text-style: bold; }
        & > .chain-flow--bar { color: $accent; }
        & > .chain-flow--rest { color: $foreground 20%; }
        & > .heat-map--empty { color: $foreground 60%; }
        &:ansi {
            & > .chain-flow--label, & > .chain-flow--frame, & > .chain-flow--rest, & > .heat-map--empty {
                color: ansi_default; text-style: dim;
            }
            & > .chain-flow--cursor, &:focus > .chain-flow--cursor { color: ansi_default; text-style: bold; }
        }
    }
    """

    empty_text: reactive[str] = reactive(
        "No image yet. Press d to pre-dump: it saves memory while the target runs, and makes the dump short.",
        init=False,
    )
    """What is said while there is no link; literal."""

    class Moved(Message):
        """The cursor is on another link."""

        def __init__(self, flow: ChainFlow) -> None:
            super().__init__()
            self.flow = flow

        @property
        def control(self) -> ChainFlow:
            """The flow, for `@on` selectors."""
            return self.flow

    class Opened(Message):
        """Enter, or a click, on a link: show its areas."""

        def __init__(self, flow: ChainFlow, link: LinkResult) -> None:
            super().__init__()
            self.flow = flow
            self.link = link

        @property
        def control(self) -> ChainFlow:
            """The flow, for `@on` selectors."""
            return self.flow

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._links: tuple[LinkResult, ...] = ()
        self._progress: LinkProgress | None = None
        self._page_bytes = PAGE_SIZE
        self._cursor: int | None = None
        """None stays with the newest."""
        self.border_title = Content("chain")

    def show_links(self, links: Sequence[LinkResult], page_bytes: int = PAGE_SIZE) -> None:
        """Show these, oldest first; the cursor stays on its link if that is still there."""
        links = tuple(links)
        if self._cursor is not None and links[: self._cursor + 1] != self._links[: self._cursor + 1]:
            self._cursor = None
        self._links, self._page_bytes = links, page_bytes
        self.redraw()

    def show_progress(self, progress: LinkProgress | None) -> None:
        """Show how far the link in the making is; None: none is."""
        if progress != self._progress:
            self._progress = progress
            self.redraw()

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self.redraw()

    @property
    def cursor_link(self) -> LinkResult | None:
        """The link under the cursor; the newest until it was moved."""
        return self._links[self._index] if self._links else None

    @property
    def _index(self) -> int:
        return len(self._links) - 1 if self._cursor is None else self._cursor

    def _first_shown(self, width: int) -> int:
        """The first link in view, so that the cursor's and, if there is room, the newest are."""
        count = len(self._links) + (self._progress is not None)
        fitting = max(1, (width + len(_ARROW)) // (_BOX + len(_ARROW)))
        return max(0, min(self._index, count - fitting))

    # -- drawing

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """Boxes where there is height for them."""
        if not self._links and self._progress is None:
            return empty_lines(self.empty_text, width, height)
        if height and height < _BOX_HEIGHT:
            return self._flat(width)[:height]
        boxes = [
            self._box(link, is_cursor=at == self._index)
            for at, link in enumerate(self._links)
            if at >= self._first_shown(width)
        ]
        if self._progress is not None:
            boxes.append(self._making(self._progress))
        lines: list[list[Span]] = [[] for _ in range(_BOX_HEIGHT)]
        for number, box in enumerate(boxes):
            for y, (line, spans) in enumerate(zip(lines, box, strict=True)):
                if number:
                    line.append(Span(_ARROW if y == _BOX_HEIGHT // 2 - 1 else " " * len(_ARROW), _LABEL))
                line.extend(spans)
        first = self._first_shown(width)
        if first:
            lines.append([Span(f"← {first} more", _LABEL)])
        return [fit_cell(line, width) for line in lines]

    def _box(self, link: LinkResult, *, is_cursor: bool) -> list[list[Span]]:
        name, style = _name(link)
        held_bytes = link.pages_in_parent * self._page_bytes
        stop = "not stopped" if link.stopped_us == 0 else f"stop {format_duration(link.stopped_s)}"
        share = link.pages_written / max(1, link.pages_written + link.pages_in_parent)
        cells = max(1, round(share * (_BOX - 4)))
        rows = [
            [Span("saved  ", _LABEL), Span(format_bytes(link.size_bytes))],
            [Span("parent ", _LABEL), Span(format_bytes(held_bytes))],
            [Span("█" * cells, "chain-flow--bar"), Span("░" * (_BOX - 4 - cells), "chain-flow--rest")],
            [Span(stop)],
        ]
        return _framed(name, style, rows, "chain-flow--cursor" if is_cursor else "chain-flow--frame")

    def _making(self, progress: LinkProgress) -> list[list[Span]]:
        done = round(progress.share * (_BOX - 4))
        rows = [
            [Span(printable(progress.stage))],
            [Span("of     ", _LABEL), Span(_total(progress))],
            [Span("━" * done, "chain-flow--bar"), Span("─" * (_BOX - 4 - done), "chain-flow--rest")],
            [Span(f"{progress.share:.0%}")],
        ]
        return _framed("in the making", _LABEL, rows, "chain-flow--frame")

    def _flat(self, width: int) -> list[list[Span]]:
        """Signs and sizes in one line, and the facts of the one under the cursor in the next."""
        stations = []
        for at, link in enumerate(self._links):
            name, style = _name(link)
            sign = name.split()[0] + " " + say_bytes(link.size_bytes)
            stations.append(Span(f"[{sign}]" if at == self._index else sign, style))
        if self._progress is not None:
            stations.append(Span(f"… {self._progress.share:.0%}", _LABEL))
        first = 0
        while first < self._index and sum(len(s.text) + 3 for s in stations[first:]) > width:
            first += 1
        line = [Span("… ", _LABEL)] if first else []
        for number, station in enumerate(stations[first:]):
            line += [*([Span(_ARROW, _LABEL)] if number else []), station]
        lines = [fit_cell(line, width)]
        if (link_here := self.cursor_link) is not None:
            held = say_bytes(link_here.pages_in_parent * self._page_bytes)
            stop = format_duration(link_here.stopped_s)
            facts = f"{link_here.kind.value}  parent holds {held}  stop {stop}  Enter: its areas"
            lines.append(fit_cell([Span(facts, _LABEL)], width))
        return lines

    # -- cursor

    def action_move(self, links: int) -> None:
        """Go to another link."""
        self._move_to(self._index + links)

    def action_first(self) -> None:
        """Go to the oldest."""
        self._move_to(0)

    def action_last(self) -> None:
        """Go to the newest, and stay with it."""
        if self._links:
            self._move_to(len(self._links) - 1)
            self._cursor = None

    def action_open(self) -> None:
        """Ask for the areas of the link under the cursor."""
        if (link := self.cursor_link) is not None:
            self.post_message(self.Opened(self, link))

    def _move_to(self, index: int) -> None:
        if self._links:
            before = self._index
            self._cursor = max(0, min(index, len(self._links) - 1))
            self.redraw()
            if self._cursor != before:
                self.post_message(self.Moved(self))

    def on_click(self, event: events.Click) -> None:
        """Open the link under the pointer."""
        offset = event.get_content_offset(self)
        size = self.content_size
        if offset is None or not self._links or size.height < _BOX_HEIGHT or offset.y >= _BOX_HEIGHT:
            return
        box, within = divmod(offset.x, _BOX + len(_ARROW))
        at = self._first_shown(size.width) + box
        if within < _BOX and at < len(self._links):
            event.stop()
            self._move_to(at)
            self.action_open()


def _name(link: LinkResult) -> tuple[str, str]:
    if link.kind is LinkKind.DUMP:
        return "■ dump", "chain-flow--dump"
    return f"{link.number} pre-dump", "chain-flow--pre-dump"


def _framed(name: str, style: str, rows: list[list[Span]], frame: str) -> list[list[Span]]:
    rule = "─" * max(0, _BOX - len(name) - 5)
    top = [Span("╭─ ", frame), Span(name, style), Span(f" {rule}╮", frame)]
    body = [[Span("│ ", frame), *fit_cell(row, _BOX - 4), Span(" │", frame)] for row in rows]
    return [top, *body, [Span("╰" + "─" * (_BOX - 2) + "╯", frame)]]


def _total(progress: LinkProgress) -> str:
    return NOTHING if progress.total_bytes is None else format_bytes(progress.total_bytes)
