"""Several targets one under the other: each with its trend on a common scale, one of them in focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from textual import events
from textual.message import Message

from engine.forecast.plans.verdict import Verdict
from engine.printable import printable
from engine.units import NOTHING, Unit, say_duration
from widgets.columns import Cell, Column, Span, fit_columns
from widgets.drawing import SpanView
from widgets.table_lines import row_spans
from widgets.target_header import TargetState
from widgets.trend import Float32Array, scaled_bars

_LABEL: Final = "target-trends--label"


@dataclass(frozen=True, slots=True, eq=False)
class TargetTrend:
    """What is shown of one target."""

    pid: int
    command: str
    state: TargetState
    rates: Float32Array
    """Written bytes per second of the last ticks, oldest first, shape (n,)."""
    pending_bytes: float
    verdict: Verdict = Verdict.UNKNOWN
    stop_s: float | None = None
    """Predicted, under the plan advised."""
    is_busy: bool = False
    """A link is being made of it."""
    is_waiting: bool = False
    """A trigger is set for it."""


_COLUMNS: Final = (
    Column("number", "", 2, "right"),
    Column("name", "target", 12, flexible=True, wide=20),
    Column("pid", "pid", 7, "right", priority=4),
    Column("state", "", 9, priority=5),
    Column("trend", "trend", 10, wide=30, priority=1),
    Column("rate", "written", 13, "right", priority=0),
    Column("pending", "pending", 11, "right", priority=3),
    Column("verdict", "advice", 17, priority=2),
    Column("stop", "stops", 7, "right", priority=2),
)
_VERDICT_STYLES: Final = {
    Verdict.DUMP_NOW: "target-trends--good",
    Verdict.PRE_DUMP: "target-trends--fair",
    Verdict.WAIT: "target-trends--fair",
    Verdict.WILL_NOT_CONVERGE: "target-trends--bad",
}


class TargetTrends(SpanView):
    """A line for each target under a header; as the bars share a scale, two can be compared at a glance."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "target-trends--label",
        "target-trends--trend",
        "target-trends--focus",
        "target-trends--good",
        "target-trends--fair",
        "target-trends--bad",
    }

    DEFAULT_CSS = """
    TargetTrends {
        width: 1fr;
        height: auto;
        padding: 0 1;
        & > .target-trends--label { color: $foreground 60%; }
        & > .target-trends--trend { color: $text-warning; }
        & > .target-trends--focus { color: $accent; text-style: bold; }
        & > .target-trends--good { color: $text-success; }
        & > .target-trends--fair { color: $text-warning; }
        & > .target-trends--bad { color: $text-error; }
        &:ansi > .target-trends--label { color: ansi_default; text-style: dim; }
    }
    """

    class Chosen(Message):
        """A click on a target: bring it into focus."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._targets: tuple[TargetTrend, ...] = ()
        self._current: int | None = 0

    def show_targets(self, targets: Sequence[TargetTrend], current: int | None) -> None:
        """Show these; `current` is the position of the one in focus, if one is."""
        grows = len(targets) != len(self._targets)
        self._targets, self._current = tuple(targets), current
        self.redraw(layout=grows)

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """A header and a line each; the header goes first where there is too little room."""
        if not self._targets:
            return [[Span("no target: o picks a process, space tags several", _LABEL)]]
        placed = fit_columns(_COLUMNS, width)
        rates = [target.rates[-1] if len(target.rates) else 0.0 for target in self._targets]
        peaks = [float(np.nanmax(each.rates, initial=0.0)) for each in self._targets]
        rate_unit = Unit.for_largest(float(np.nanmax(peaks, initial=0.0)))
        pending_unit = Unit.for_largest(max(target.pending_bytes for target in self._targets))
        units = {"rate": rate_unit, "pending": pending_unit}
        lines = []
        for number, target in enumerate(self._targets):
            cells = [
                _cell(target, place.column.key, place.width, number, max(peaks), units, float(rates[number]))
                for place in placed
            ]
            if number == self._current:
                cells[0] = (Span(f"▸{number + 1}", "target-trends--focus"),)
            lines.append(row_spans(placed, cells, margin=0))
        if height and height <= len(lines):
            first = self._first_shown(height)
            return lines[first : first + height]
        titles = [_title(place.column, units) for place in placed]
        return [row_spans(placed, titles, margin=0), *lines]

    def _first_shown(self, height: int) -> int:
        """The first in view where there is no room for all, so that the one in focus is."""
        return max(0, min((self._current or 0) - height + 1, len(self._targets) - height))

    def on_click(self, event: events.Click) -> None:
        """Find the target under the pointer."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        height = self.content_size.height
        shown = len(self._targets)
        first = -1 if height > shown else self._first_shown(height)
        index = first + offset.y
        if 0 <= index < shown:
            event.stop()
            self.post_message(self.Chosen(index))


def _title(column: Column, units: dict[str, Unit]) -> Cell:
    unit = units.get(column.key)
    if unit is None:
        return (Span(column.title, _LABEL),)
    suffix = "/s" if column.key == "rate" else ""
    return (Span(f"{column.title} {unit.name}{suffix}", _LABEL),)


def _cell(
    target: TargetTrend,
    column: str,
    width: int,
    number: int,
    peak: float,
    units: dict[str, Unit],
    rate: float,
) -> Cell:
    match column:
        case "number":
            return (Span(str(number + 1), _LABEL),)
        case "name":
            mark = "◆ " if target.is_busy else "◇ " if target.is_waiting else ""
            return (Span(mark + printable(target.command)),)
        case "pid":
            return (Span(str(target.pid), _LABEL),)
        case "state":
            return (Span(target.state.value.lower(), _LABEL),)
        case "trend":
            return (Span(scaled_bars(target.rates, width, peak), "target-trends--trend"),)
        case "rate":
            return (Span(units["rate"].format(rate)),)
        case "pending":
            return (Span(units["pending"].format(target.pending_bytes)),)
        case "stop":
            return (Span(NOTHING if target.stop_s is None else say_duration(target.stop_s)),)
    return (Span(target.verdict.value, _VERDICT_STYLES.get(target.verdict, _LABEL)),)
