"""The header: which target is watched, how, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from rich.cells import cell_len

from engine.printable import printable
from engine.tracking.sample import RateMode, TrackerKind
from engine.units import NOTHING, format_clock, format_duration, format_percent
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.event_log import SIGNS, Severity

_GAP = 2
_DURATION_CELLS = 7
"""A tick takes as many, most of the time: what comes after it stays in its place."""


class TargetState(Enum):
    """What the badge says."""

    ARMED = "ARMED"
    NOT_ARMED = "NOT ARMED"
    PAUSED = "PAUSED"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Notice:
    """What has to be known besides, on a line of its own; literal."""

    text: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Everything the header shows."""

    pid: int
    command: str
    state: TargetState
    process_count: int = 1
    """The target and its descendants."""
    tracker: TrackerKind | None = None
    mode: RateMode | None = None
    armed_s: float = 0.0
    """Seconds since armed."""
    interval_set_s: float = 1.0
    interval_measured_s: float = 0.0
    """0 where none has been measured yet, NaN where none lies behind this tick."""
    tick_ms: float = 0.0
    cost_fraction: float = 0.0
    """Estimated share of one CPU."""
    stopped_us: int = 0
    """By the last tick."""
    is_lent: bool = False
    """Whether ticks only read, whatever the mode is, because the epoch is somebody else's."""
    notices: tuple[Notice, ...] = ()
    """The gravest first."""


class TargetHeader(SpanView):
    """Two lines: the target and its tracker; the interval and what a tick costs. Three if narrow.

    Below them a line for each notice.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "target-header--armed",
        "target-header--not-armed",
        "target-header--paused",
        "target-header--gone",
        "target-header--command",
        "target-header--label",
        "target-header--tracker",
        "target-header--information",
        "target-header--warning",
        "target-header--error",
    }

    DEFAULT_CSS = """
    TargetHeader {
        width: 1fr;
        height: auto;
        padding: 0 1;
        & > .target-header--armed { background: $success; color: auto; text-style: bold; }
        & > .target-header--not-armed { background: $foreground 25%; color: auto; text-style: bold; }
        & > .target-header--paused { background: $warning; color: auto; text-style: bold; }
        & > .target-header--gone { background: $error; color: auto; text-style: bold; }
        & > .target-header--command { color: $foreground; text-style: bold; }
        & > .target-header--label { color: $foreground 55%; }
        & > .target-header--tracker { color: $text-primary; }
        & > .target-header--information { color: $foreground 70%; }
        & > .target-header--warning { color: $text-warning; }
        & > .target-header--error { color: $text-error; text-style: bold; }
        &:ansi {
            & > .target-header--armed { background: ansi_green; color: ansi_black; }
            & > .target-header--not-armed {
                background: ansi_default; color: ansi_default; text-style: reverse;
            }
            & > .target-header--paused { background: ansi_yellow; color: ansi_black; }
            & > .target-header--gone { background: ansi_red; color: ansi_black; }
            & > .target-header--command, & > .target-header--information { color: ansi_default; }
            & > .target-header--label { color: ansi_default; text-style: dim; }
        }
        &:ansi:nocolor {
            & > .target-header--armed, & > .target-header--not-armed, & > .target-header--paused,
            & > .target-header--gone {
                background: ansi_default; color: ansi_default; text-style: bold reverse;
            }
        }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._status: TargetStatus | None = None

    def show_status(self, status: TargetStatus | None) -> None:
        """Show this; None: no target has been picked."""
        if status != self._status:
            before = len(self.lines(self.size.width, 0))
            self._status = status
            # A new layout of the whole screen at every tick would cost more than all else here.
            self.redraw(layout=len(self.lines(self.size.width, 0)) != before)

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """The first line names the target; then come figures, on as many lines as they need."""
        status = self._status
        if status is None:
            return [[Span("no target", "target-header--label")], []]
        return [
            _target_line(status, width),
            *_flowed(_figures(status), width),
            *(_notice_line(notice, width) for notice in status.notices),
        ]


def _target_line(status: TargetStatus, width: int) -> list[Span]:
    badge = status.state.value
    if status.state in (TargetState.ARMED, TargetState.PAUSED):
        badge += " " + format_clock(status.armed_s)
    left = [Span(f" {badge} ", f"target-header--{status.state.value.lower().replace(' ', '-')}"), Span("  ")]
    others = status.process_count - 1
    about = f"  pid {status.pid}" + (f" and {others} more" if others > 0 else "")
    how = []
    if status.tracker is not None:
        how = [Span("  "), Span(status.tracker.value, "target-header--tracker")]
        if status.mode is not None:
            does = "only reading" if status.is_lent else status.mode.value
            how.append(Span(f", {does}", "target-header--label"))
    right = [Span(about, "target-header--label")], how
    room = width - sum(cell_len(span.text) for span in (*left, *right[0], *right[1]))
    command = Span(printable(status.command), "target-header--command")
    shown = fit_cell([command], max(1, min(room, cell_len(command.text))))
    gap = Span(" " * max(0, room - sum(cell_len(span.text) for span in shown)))
    return [*left, *shown, *right[0], gap, *how]


def _notice_line(notice: Notice, width: int) -> list[Span]:
    style = f"target-header--{notice.severity}"
    return fit_cell([Span(SIGNS[notice.severity] + " ", style), Span(printable(notice.text), style)], width)


def _figures(status: TargetStatus) -> list[list[Span]]:
    def figure(label: str, value: str) -> list[Span]:
        return [Span(label + " ", "target-header--label"), Span(value)]

    interval = figure("every", format_duration(status.interval_set_s))
    measured_s = status.interval_measured_s
    if measured_s != 0:
        figure_s = NOTHING if math.isnan(measured_s) else f"{measured_s:.2f}"
        interval.append(Span(f" (measured {figure_s:>4} s)", "target-header--label"))
    return [
        interval,
        figure("tick", format_duration(status.tick_ms / 1e3).ljust(_DURATION_CELLS)),
        figure("cost", f"≈{format_percent(status.cost_fraction):>5} CPU"),
        figure("stopped", format_duration(status.stopped_us / 1e6)),
    ]


def _flowed(items: list[list[Span]], width: int) -> list[list[Span]]:
    """Items side by side, on as many lines as they need."""
    lines: list[list[Span]] = [[]]
    used = 0
    for item in items:
        length = sum(cell_len(span.text) for span in item)
        if lines[-1] and used + _GAP + length > width:
            lines.append([])
            used = 0
        if lines[-1]:
            lines[-1].append(Span(" " * _GAP))
            used += _GAP
        lines[-1].extend(item)
        used += length
    return lines
