"""Two working-set curves over one another on the same axes: one solid, one dashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from textual.content import Content

from engine.printable import printable
from engine.tracking.curve import NO_CURVE, WorkingSetCurve
from engine.units import Unit
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.heat_words import empty_lines
from widgets.plot import Axis, axis_of_spans, axis_up_to

_LABEL_WIDTH: Final = 6
_LEAST_HEIGHT: Final = 5
_LEAST_WIDTH: Final = 30
_SHORTEST_S: Final = 0.05
_DASH: Final = 4
"""Columns of dots that a dash takes, and the gap after it."""
_BRAILLE: Final = 0x2800
_DOTS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.int64)
_STYLES: Final = ("curve-pair--first", "curve-pair--second")
_SIGNS: Final = ("──", "╌╌")
_AXIS: Final = "curve-pair--axis"

_Dots = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class NamedCurve:
    """A curve and whose it is."""

    name: str
    curve: WorkingSetCurve = NO_CURVE
    page_bytes: int = 4096


class CurvePair(SpanView):
    """U(t) of two targets: whose rises sooner and higher has more written again between two links."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*_STYLES, "curve-pair--both", _AXIS, "heat-map--empty"}

    DEFAULT_CSS = """
    CurvePair {
        width: 1fr;
        height: 1fr;
        min-height: 4;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        padding: 0 1;
        & > .curve-pair--first { color: $text-primary; text-style: bold; }
        & > .curve-pair--second { color: $text-accent; text-style: bold; }
        & > .curve-pair--both { color: $foreground; }
        & > .curve-pair--axis { color: $foreground 50%; }
        & > .heat-map--empty { color: $foreground 60%; }
        &:ansi {
            & > .curve-pair--axis, & > .heat-map--empty { color: ansi_default; text-style: dim; }
            & > .curve-pair--both { color: ansi_default; }
        }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._curves: tuple[NamedCurve, ...] = ()
        self.border_title = Content("written within t")

    def show_curves(self, curves: Sequence[NamedCurve]) -> None:
        """Show these two."""
        self._curves = tuple(curves)
        self.redraw()

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """A headline with names and signs, the curves, and the axis of time."""
        known = [each for each in self._curves if each.curve.window_s > 0]
        if not known:
            return empty_lines(
                "Not known yet: the curves grow out of ticks. Press a to arm both.", width, height
            )
        if height < _LEAST_HEIGHT or width < _LEAST_WIDTH:
            return [fit_cell(self._headline(""), width)]
        longest_s = max(each.curve.window_s for each in known)
        shortest_s = min(_SHORTEST_S, longest_s / 2)
        x_axis = axis_of_spans(shortest_s, longest_s)
        columns, rows = 2 * (width - _LABEL_WIDTH - 1), 4 * (height - 2)
        at_s = 10 ** np.linspace(x_axis.lowest, x_axis.highest, columns)
        amounts = [_amounts(each, at_s) for each in self._curves]
        top = max(float(np.nanmax(each, initial=0.0)) for each in amounts)
        unit = Unit.for_largest(top)
        y_axis = axis_up_to(top / unit.bytes, _LABEL_WIDTH, 3 if height >= 8 else 2)
        dots = [
            _line(each / unit.bytes / y_axis.highest, rows, is_dashed=number > 0)
            for number, each in enumerate(amounts)
        ]
        labels = {round((1 - at / y_axis.highest) * (height - 3)): label for at, label in y_axis.ticks}
        drawn = [
            [Span(labels.get(y, " " * _LABEL_WIDTH) + ("┤" if y in labels else "│"), _AXIS), *spans]
            for y, spans in enumerate(_cells(dots))
        ]
        return [fit_cell(self._headline(unit.name), width), *drawn, _axis(x_axis, width)]

    def _headline(self, unit: str) -> list[Span]:
        spans = [Span(f"{unit:>{_LABEL_WIDTH}} ", _AXIS)]
        for each, sign, style in zip(self._curves, _SIGNS, _STYLES, strict=False):
            spans += [Span(f" {sign} {printable(each.name)} ", style)]
        return spans


def _amounts(each: NamedCurve, at_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bytes written within each of these spans; NaN beyond what is known."""
    pages = np.interp(at_s, each.curve.spans_s, each.curve.pages)
    pages[at_s > each.curve.window_s * 1.001] = np.nan
    return np.asarray(pages * each.page_bytes)


def _line(shares: NDArray[np.float64], rows: int, *, is_dashed: bool) -> _Dots:
    """Dots of a line through these heights (0 to 1), joined from column to column; shape (rows, columns)."""
    dots: _Dots = np.zeros((rows, len(shares)), np.bool_)
    known = np.flatnonzero(np.isfinite(shares))
    heights = np.zeros(len(shares), np.int64)
    heights[known] = np.rint((1 - np.clip(shares[known], 0, 1)) * (rows - 1))
    before = None
    for x in known.tolist():
        y = int(heights[x])
        # A rise within one column is drawn up to the height before it.
        low, high = (y, y) if before is None or abs(before - y) <= 1 else sorted((y, before))
        # A rise would fall into a gap whole: it is drawn in any case.
        if not is_dashed or low < high or x // _DASH % 2 == 0:
            dots[low : high + 1, x] = True
        before = y
    return dots


def _cells(dots: Sequence[_Dots]) -> list[list[Span]]:
    """Both lines as braille; a cell in which they meet belongs to both."""
    codes = []
    for each in dots:
        rows, columns = each.shape
        codes.append((each.reshape(rows // 4, 4, columns // 2, 2) * _DOTS[:, np.newaxis]).sum(axis=(1, 3)))
    lines = []
    for row in zip(*(each.tolist() for each in codes), strict=True):
        spans = []
        for cell in zip(*row, strict=True):
            on = [number for number, code in enumerate(cell) if code]
            code = 0
            for part in cell:
                code |= part
            style = "" if not on else _STYLES[on[0]] if len(on) == 1 else "curve-pair--both"
            spans.append(Span(chr(_BRAILLE + code) if code else " ", style))
        lines.append(spans)
    return lines


def _axis(axis: Axis, width: int) -> list[Span]:
    """Lengths of time, labelled from where they are to the right, as far as there is room."""
    cells = [" "] * width
    room = width - _LABEL_WIDTH - 1
    free = _LABEL_WIDTH + 1
    for at, label in axis.ticks:
        x = _LABEL_WIDTH + 1 + round((at - axis.lowest) / (axis.highest - axis.lowest) * (room - 1))
        shown = "└" + label
        if x >= free and x + len(shown) <= width:
            cells[x : x + len(shown)] = shown
            free = x + len(shown) + 1
    return [Span("".join(cells), _AXIS)]
