"""The chart: how fast the target writes, and how much it has written since armed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Final

import numpy as np
from textual.content import Content

from engine.units import Unit
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.plot import CURVE, MARK, axis_of_past, axis_up_to, draw
from widgets.trend import tall_bars

_LABEL_WIDTH: Final = 6
_SHORTEST_S: Final = 30.0
"""What the time axis spans at least: a young curve grows in from the right."""
_LEAST_PLOT_HEIGHT: Final = 5
_LEAST_PLOT_WIDTH: Final = 36


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One tick."""

    time_s: float
    """As of `time.monotonic()`; only distances are shown."""
    bytes_per_s: float
    """Written; NaN makes a gap."""
    since_armed_bytes: float


@dataclass(frozen=True, slots=True)
class ChartMark:
    """A moment to mark: a pre-dump or a dump."""

    time_s: float
    label: str
    """One or two characters, as in "1" or "■"."""


@dataclass(frozen=True, slots=True)
class _Curve:
    title: str
    style: str
    per_second: bool
    figures: tuple[float, ...]


class RateChart(SpanView):
    """Written per second and since armed over time; one under the other, or side by side."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rate-chart--rate",
        "rate-chart--armed",
        "rate-chart--axis",
        "rate-chart--mark",
        "rate-chart--title",
        "rate-chart--empty",
    }

    DEFAULT_CSS = """
    RateChart {
        width: 1fr;
        height: 1fr;
        min-height: 4;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        & > .rate-chart--rate { color: $text-warning; }
        & > .rate-chart--armed { color: $text-primary; }
        & > .rate-chart--axis { color: $foreground 50%; }
        & > .rate-chart--mark { color: $text-accent; text-style: bold; }
        & > .rate-chart--title { color: $foreground; }
        & > .rate-chart--empty { color: $foreground 55%; text-style: italic; }
        &:ansi {
            & > .rate-chart--axis, & > .rate-chart--empty { color: ansi_default; text-style: dim; }
            & > .rate-chart--title { color: ansi_default; }
        }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._points: tuple[ChartPoint, ...] = ()
        self._marks: tuple[ChartMark, ...] = ()
        self.border_title = Content("history")

    def show_history(self, points: Sequence[ChartPoint], marks: Sequence[ChartMark] = ()) -> None:
        """Show these, oldest first; marks outside the time they span are not shown."""
        self._points = tuple(points)
        self._marks = tuple(marks)
        shown = [mark for mark in marks if points and points[0].time_s <= mark.time_s <= points[-1].time_s]
        text = "1 2 pre-dumps · ■ dump" if shown else ""
        if str(self.border_subtitle) != text:
            self.border_subtitle = Content(text)
        self.redraw()

    # -- drawing

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """Both curves, or the rate alone where there is no room for two."""
        if not self._points:
            blank = [[Span("")] for _ in range((height - 1) // 2)]
            message = "waiting for the first tick…"
            return [*blank, [Span(message.center(width), "rate-chart--empty")]]
        rate = _Curve("written", "rate-chart--rate", True, tuple(point.bytes_per_s for point in self._points))
        armed = _Curve(
            "since armed",
            "rate-chart--armed",
            False,
            tuple(point.since_armed_bytes for point in self._points),
        )
        if height >= 2 * (_LEAST_PLOT_HEIGHT + 1) and width < 4 * height:
            upper = height - height // 2
            return self._plot(rate, width, upper) + self._plot(armed, width, height - upper)
        if width >= 2 * _LEAST_PLOT_WIDTH:
            gap = 3
            left = (width - gap + 1) // 2
            pairs = zip(
                self._plot(rate, left, height), self._plot(armed, width - gap - left, height), strict=True
            )
            return [[*one, Span(" " * gap), *other] for one, other in pairs]
        return self._plot(rate, width, height)

    def _plot(self, curve: _Curve, width: int, height: int) -> list[list[Span]]:
        """A headline with the figures, and the curve under it."""
        if height <= _LEAST_PLOT_HEIGHT:
            return self._bars(curve, width, height)
        now = self._points[-1].time_s
        span = max(now - self._points[0].time_s, _SHORTEST_S)
        finite = [figure for figure in curve.figures if math.isfinite(figure)]
        unit = Unit.for_largest(max(finite, default=0.0))
        text = draw(
            width,
            height - 1,
            [point.time_s - now for point in self._points],
            [figure / unit.bytes for figure in curve.figures],
            x_axis=axis_of_past(span, max(2, width // 16)),
            y_axis=axis_up_to(max(finite, default=0.0) / unit.bytes, _LABEL_WIDTH, 3 if height >= 7 else 2),
            marks=[(mark.time_s - now, mark.label) for mark in self._marks],
        )
        axis_unit = unit.name + _per(curve)
        headline = _headline(curve, f"{axis_unit:>{_LABEL_WIDTH}} ", finite, width)
        lines = text.split("\n")
        return [headline, *(_spans(line, curve.style, y == 0) for y, line in enumerate(lines))]

    def _bars(self, curve: _Curve, width: int, height: int) -> list[list[Span]]:
        """The last ticks without axes: what a few lines have room for."""
        finite = [figure for figure in curve.figures if math.isfinite(figure)]
        lines = tall_bars(np.array(curve.figures[-width:], np.float32), width, height - 1)
        return [_headline(curve, "", finite, width), *([Span(line, curve.style)] for line in lines)]


def _headline(curve: _Curve, axis_unit: str, finite: list[float], width: int) -> list[Span]:
    """What it is now, in the unit of the axis: neither figure nor unit jumps from tick to tick."""
    peak_bytes = max(finite, default=0.0)
    unit = Unit.for_largest(peak_bytes)
    peak = unit.format(peak_bytes, zero="0")
    now = unit.format(curve.figures[-1], zero="0")
    of_unit = "" if axis_unit else f" {unit.name}{_per(curve)}"
    spans = [
        Span(axis_unit, "rate-chart--axis"),
        Span(curve.title, "rate-chart--title"),
        Span(f"  {now:>{len(peak)}}{of_unit}", curve.style),
    ]
    if curve.per_second and finite:
        at_most = Span(f"  peak {peak}{of_unit}", "rate-chart--axis")
        if sum(len(span.text) for span in [*spans, at_most]) <= width:
            spans.append(at_most)
    return fit_cell(spans, width)


def _per(curve: _Curve) -> str:
    return "/s" if curve.per_second else ""


def _spans(line: str, curve_style: str, is_top: bool) -> list[Span]:
    """Tell curve, marks and axes apart by the characters they are made of.

    Only on the top line, beyond the axis, other text stands in the plot: the labels of the marks.
    """
    plot_begins = line.find("┤") + 1 if is_top else len(line)

    def style(place: tuple[int, str]) -> str:
        x, character = place
        if character in CURVE:
            return curve_style
        return "rate-chart--mark" if character == MARK or x >= plot_begins else "rate-chart--axis"

    return [Span("".join(text for _, text in run), name) for name, run in groupby(enumerate(line), style)]
