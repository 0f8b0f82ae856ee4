"""The chain so far, link by link, and the link being made."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.images.layout import LinkKind
from engine.printable import printable
from engine.units import format_bytes, format_count, format_duration, say_bytes
from widgets.columns import ELLIPSIS, Cell, Column, Span, fit_columns
from widgets.drawing import SpanView
from widgets.table_lines import row_spans

DUMP_SIGN: Final = "■"
_ARROW: Final = " → "
_MOST_WARNING_LINES: Final = 3

_COLUMNS: Final = (
    Column("number", "", 2, "right"),
    Column("kind", "kind", 8, priority=3),
    Column("size", "size", 9, "right"),
    Column("written", "written", 10, "right", "pg", priority=5),
    Column("parent", "in parent", 12, "right", "pg", priority=4),
    Column("stopped", "stopped", 9, "right", priority=1),
    Column("seconds", "took", 9, "right", priority=6),
    Column("engine", "engine", 7, priority=7),
    Column("verdict", "", 11, flexible=True, priority=2),
)


class ChainView(SpanView):
    """How links follow one another, what each holds, and how far the next one is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chain-view--label",
        "chain-view--pre-dump",
        "chain-view--dump",
        "chain-view--arrow",
        "chain-view--restorable",
        "chain-view--memory-only",
        "chain-view--bar",
        "chain-view--bar-rest",
        "chain-view--warning",
    }

    DEFAULT_CSS = """
    ChainView {
        width: 1fr;
        height: 1fr;
        min-height: 3;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        & > .chain-view--label { color: $foreground 55%; }
        & > .chain-view--pre-dump { color: $text-primary; text-style: bold; }
        & > .chain-view--dump { color: $text-accent; text-style: bold; }
        & > .chain-view--arrow { color: $foreground 40%; }
        & > .chain-view--restorable { color: $text-success; }
        & > .chain-view--memory-only { color: $foreground 70%; }
        & > .chain-view--bar { color: $accent; }
        & > .chain-view--bar-rest { color: $foreground 20%; }
        & > .chain-view--warning { color: $text-error; text-style: bold; }
        &:ansi {
            & > .chain-view--label, & > .chain-view--arrow, & > .chain-view--bar-rest {
                color: ansi_default; text-style: dim;
            }
            & > .chain-view--memory-only { color: ansi_default; }
        }
    }
    """

    empty_text: reactive[str] = reactive("no image yet: press d to pre-dump", init=False)
    """What is said while there is no link; literal."""
    next_text: reactive[str] = reactive("", init=False)
    """What can be done next, below the links where there is room; literal."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._links: tuple[LinkResult, ...] = ()
        self._progress: LinkProgress | None = None
        self._warning = ""
        self.border_title = Content("chain")

    def show_links(self, links: Sequence[LinkResult]) -> None:
        """Show these, oldest first."""
        links = tuple(links)
        if links != self._links:
            self._links = links
            self.redraw(layout=True)

    def show_warning(self, text: str) -> None:
        """Show above all else what is wrong with the chain; literal, empty if nothing is."""
        if text != self._warning:
            self._warning = text
            self.redraw(layout=True)

    def show_progress(self, progress: LinkProgress | None) -> None:
        """Show how far the link in the making is; None: none is."""
        if progress != self._progress:
            had_one = self._progress is not None
            self._progress = progress
            self.redraw(layout=had_one is (progress is None))

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self.redraw()

    def watch_next_text(self) -> None:
        """Say so at once."""
        self.redraw()

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """The flow of links, one line for each, and two for the one in the making."""
        running = [] if self._progress is None else _progress_lines(self._progress, width)
        warning = [
            [Span(line, "chain-view--warning")]
            for line in wrap(printable(self._warning), max(width, 1))[:_MOST_WARNING_LINES]
        ]
        if not self._links:
            return [*warning, *running] or [
                [Span(line, "chain-view--label")] for line in wrap(self.empty_text, max(width, 1))
            ]
        placed = fit_columns(_COLUMNS, width)
        table = [
            row_spans(placed, [_cell(link, place.column.key) for place in placed], margin=0)
            for link in self._links
        ]
        header = row_spans(placed, [_title(place.column) for place in placed], margin=0)
        room = height - len(running) - len(warning) if height else len(table) + 2
        above = [_flow(self._links, self._progress is not None, width), header]
        hint = [[Span(line, "chain-view--label")] for line in wrap(self.next_text, max(width, 1))]
        if running or room < 1 + len(table) + len(hint):
            hint = []
        room -= len(hint)
        # The newest links matter most, then what their figures mean; the flow says least.
        if room < len(above) + len(table):
            del above[0]
        if room < 2:
            del above[0]
        return [*warning, *above, *table[-max(1, room - len(above)) :], *hint, *running]


def _flow(links: Sequence[LinkResult], is_running: bool, width: int) -> list[Span]:
    """`1 → 2 → ■`; the beginning is left out where there is no room for it."""
    stations = [
        Span(DUMP_SIGN, "chain-view--dump")
        if link.kind is LinkKind.DUMP
        else Span(str(link.number), "chain-view--pre-dump")
        for link in links
    ]
    if is_running:
        stations.append(Span(ELLIPSIS, "chain-view--label"))
    shown: list[Span] = []
    used = 0
    for station in reversed(stations):
        used += cell_len(station.text) + len(_ARROW)
        if used > width:
            shown[:0] = [Span(ELLIPSIS, "chain-view--label")]
            break
        if shown:
            shown[:0] = [station, Span(_ARROW, "chain-view--arrow")]
        else:
            shown = [station]
    return shown


def _title(column: Column) -> Cell:
    unit = f" {column.unit}" if column.unit else ""
    return (Span(column.title + unit, "chain-view--label"),)


def _cell(link: LinkResult, column: str) -> Cell:
    is_dump = link.kind is LinkKind.DUMP
    style = "chain-view--dump" if is_dump else "chain-view--pre-dump"
    match column:
        case "number":
            return (Span(DUMP_SIGN if is_dump else str(link.number), style),)
        case "kind":
            return (Span(link.kind.value),)
        case "size":
            return (Span(format_bytes(link.size_bytes)),)
        case "written":
            return (Span(format_count(link.pages_written)),)
        case "parent":
            return (Span(format_count(link.pages_in_parent)),)
        case "stopped":
            return (Span(format_duration(link.stopped_s)),)
        case "seconds":
            return (Span(format_duration(link.seconds)),)
        case "engine":
            return (Span(link.engine.value, "chain-view--label"),)
    if link.restorable:
        return (Span("restorable", "chain-view--restorable"),)
    return (Span("memory only", "chain-view--memory-only"),)


def _progress_lines(progress: LinkProgress, width: int) -> list[list[Span]]:
    """A bar, and what is being done."""
    percent = f" {progress.share:4.0%}"
    length = max(0, width - len(percent))
    done = round(progress.share * length)
    total_bytes = progress.total_bytes
    of = "" if total_bytes is None else f"  {say_bytes(progress.done_bytes)} of {say_bytes(total_bytes)}"
    return [
        [
            Span("━" * done, "chain-view--bar"),
            Span("─" * (length - done), "chain-view--bar-rest"),
            Span(percent),
        ],
        [
            Span(printable(progress.stage)),
            Span(of, "chain-view--label"),
        ],
    ]
