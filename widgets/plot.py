"""A filled curve with axes as plain text: all that the dashboard knows of plotext.

`draw` is pure: same arguments, same text, no colours. Two habits of plotext 6 are fenced in here.
It aborts the whole process on a NaN, and fails on infinities: only finite numbers reach it, and the
curve is split where they are missing. It keeps one global figure that is not safe to use from two
threads: call `draw` from the thread of the user interface alone. It is imported on the first call,
because that takes a tenth of a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CURVE: Final = frozenset(map(chr, range(0x2800, 0x2900)))
"""Characters that curves are made of, and nothing else of the text."""
MARK: Final = "┊"
"""What the vertical line of a mark is made of."""
LEVEL: Final = "┄"
"""What a horizontal line is made of."""

_LEAST_WIDTH: Final = 16
_LEAST_HEIGHT: Final = 4

Points = list[tuple[float, float]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it spans, and where it is labelled with what (somewhere at least).

    `lowest` < `highest`, both finite.
    """

    lowest: float
    highest: float
    ticks: tuple[tuple[float, str], ...]


def draw(
    width: int,
    height: int,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    x_axis: Axis,
    y_axis: Axis,
    marks: Sequence[tuple[float, str]] = (),
    level: tuple[float, str] | None = None,
) -> str:
    """A curve filled down to zero.

    Args:
        width: cells; every line of the result has exactly as many.
        height: lines of the result.
        xs: ascending, shape (n,).
        ys: as many; where either is NaN or infinite, the curve has a gap.
        x_axis: points outside of it are not drawn.
        y_axis: higher points are drawn at its top.
        marks: vertical lines at these x, each with a short label on top.
        level: a horizontal line at this y, labelled at its left end.

    Returns:
        The lines, joined by newlines; blank if there is too little room to draw in.
    """
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return "\n".join([" " * max(width, 0)] * max(height, 0))
    left = max(len(label) for _, label in y_axis.ticks) + 1
    lines = _plotted(width, height, left, pieces(xs, ys), x_axis, y_axis)
    _fill(lines[:-2])
    if level is not None:
        _level(lines[:-2], left, y_axis, *level)
    _mark(lines, left, x_axis, marks)
    return "\n".join("".join(line) for line in lines)


def _plotted(
    width: int, height: int, left: int, pieces: list[Points], x_axis: Axis, y_axis: Axis
) -> list[list[str]]:
    """What plotext makes of it: axes, and one dot for each column of dots."""
    import plotext

    plotext.terminal.limit(False, False)  # or it clamps to the size of the real terminal
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.canvas("default")
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    for name, side, axis in (("x", "lower", x_axis), ("y", "left", y_axis)):
        ruler = figure.ruler(name, side)
        ruler.lim(axis.lowest, axis.highest)
        ruler.ticks([at for at, _ in axis.ticks], labels=[label for _, label in axis.ticks])
    braille = plotext.marker("braille")
    for piece in pieces:
        at, heights = columns_of(piece, x_axis, _dot_columns(width - left))
        if len(at):
            clipped = np.clip(heights, y_axis.lowest, y_axis.highest)
            figure.draw(figure.signal(at.tolist(), clipped.tolist(), marker=braille))
    text = plotext.uncolorize(figure.build().string())
    lines = [list(line[:width].ljust(width)) for line in text.split("\n")[:height]]
    return lines + [[" "] * width for _ in range(height - len(lines))]


def _dot_columns(canvas: int) -> int:
    """Columns of dots that an axis spans: in plotext it begins and ends in the middle of a cell."""
    return 2 * canvas - 2


_LEFT_DOTS: Final = (0x01, 0x02, 0x04, 0x40)
_RIGHT_DOTS: Final = (0x08, 0x10, 0x20, 0x80)
_BRAILLE: Final = 0x2800


def _fill(lines: list[list[str]]) -> None:
    """Fill the curve down to zero, which is in the middle of its line.

    plotext can fill, but it fills below every dot of every connecting line: seconds, for a steep curve.
    """
    for x in range(len(lines[0])):
        is_filling = [False, False]
        for y, line in enumerate(lines):
            dots = ord(line[x]) - _BRAILLE if line[x] in CURVE else 0
            for half, column in enumerate((_LEFT_DOTS, _RIGHT_DOTS)):
                for dot in column[:2] if y == len(lines) - 1 else column:
                    is_filling[half] = is_filling[half] or bool(dots & dot)
                    if is_filling[half]:
                        dots |= dot
            if dots:
                line[x] = chr(_BRAILLE + dots)


def _level(lines: list[list[str]], left: int, axis: Axis, at: float, label: str) -> None:
    """A line behind the curve, with its label over it."""
    if not (math.isfinite(at) and axis.lowest <= at <= axis.highest):
        return
    share = (at - axis.lowest) / (axis.highest - axis.lowest)
    line = lines[round((len(lines) - 1) * (1 - share))]
    for x in range(left, len(line)):
        if line[x] == " ":
            line[x] = LEVEL
    begin = left + 1
    shown = f" {label} "[: max(0, len(line) - begin)]
    line[begin : begin + len(shown)] = shown


def _mark(lines: list[list[str]], left: int, axis: Axis, marks: Sequence[tuple[float, str]]) -> None:
    """Lines at the marks, behind the curve; the label takes the top line."""
    *plot, floor, _ = lines
    for at, label in marks:
        if not (math.isfinite(at) and axis.lowest <= at <= axis.highest):
            continue
        share = (at - axis.lowest) / (axis.highest - axis.lowest)
        x = left + (1 + round(share * (_dot_columns(len(floor) - left) - 1))) // 2
        for line in plot:
            if line[x] == " ":
                line[x] = MARK
        floor[x] = "┴" if floor[x] == "─" else "┼"
        start = min(x, len(floor) - len(label))
        plot[0][start : start + len(label)] = label


def pieces(xs: Sequence[float], ys: Sequence[float]) -> list[Points]:
    """The curve cut where a number is missing: runs of points whose coordinates are all finite."""
    found: list[Points] = []
    is_open = False
    for x, y in zip(xs, ys, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            is_open = False
        elif is_open:
            found[-1].append((x, y))
        else:
            found.append([(x, y)])
            is_open = True
    return found


def columns_of(piece: Points, axis: Axis, count: int) -> tuple[Floats, Floats]:
    """A piece of the curve as one height for each of `count` columns along the axis.

    Where several points fall into a column the highest counts, so that no burst is lost; where
    none does, the height is that of a straight line between the points around it.

    Returns:
        Where the columns are that lie within the piece, and their heights; both of shape (n,).
    """
    xs, ys = np.array(piece, np.float64).T
    inside = (xs >= axis.lowest) & (xs <= axis.highest)
    xs, ys = xs[inside], ys[inside]
    if not len(xs):
        return xs, ys
    step = (axis.highest - axis.lowest) / (count - 1)
    at = np.rint((xs - axis.lowest) / step).astype(np.int64)
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, at, ys)
    known = np.flatnonzero(highest > -np.inf)
    columns = np.arange(known[0], known[-1] + 1)
    return axis.lowest + columns * step, np.interp(columns, known, highest[known])


def axis_up_to(highest: float, label_width: int, ticks: int = 3) -> Axis:
    """An axis from zero to a round number not below `highest`, labels justified right.

    Args:
        highest: the largest figure to show; what is not a positive number counts as 1.
        label_width: cells for each label, so that axes above one another line up.
        ticks: how many, zero and the top included.
    """
    if not (math.isfinite(highest) and highest > 0):
        highest = 1.0
    magnitude = 10.0 ** math.floor(math.log10(highest))
    top = next(step * magnitude for step in (1, 2, 4, 6, 8, 10, 12) if step * magnitude >= highest * 0.9999)
    at = [top * tick / (ticks - 1) for tick in range(ticks)]
    return Axis(0.0, top, tuple((value, f"{value:,.6g}".rjust(label_width)) for value in at))


_SPANS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)


def axis_of_past(seconds: float, most_ticks: int) -> Axis:
    """An axis of seconds ago, from `-seconds` to now, labelled at round distances."""
    step = next((span for span in _SPANS_S if seconds / span <= most_ticks), seconds / max(most_ticks, 1))
    count = int(seconds / step + 1e-9)
    ticks = [(-step * number, _distance(step * number)) for number in range(count, 0, -1)]
    return Axis(-seconds, 0.0, (*ticks, (0.0, "now")))


def axis_of_spans(lowest_s: float, highest_s: float) -> Axis:
    """A logarithmic axis of lengths of time: positions are `log10` of seconds, labels at round ones."""
    low, high = math.log10(lowest_s), math.log10(max(highest_s, lowest_s * 1.01))
    ticks = tuple(
        (math.log10(seconds), label) for seconds, label in _ROUND_SPANS if low <= math.log10(seconds) <= high
    )
    return Axis(low, high, ticks or ((low, f"{lowest_s:.2g} s"),))


_ROUND_SPANS: Final = (
    (0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"),
    (600.0, "10 min"), (3600.0, "1 h"), (36_000.0, "10 h"),
)  # fmt: skip


def _distance(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length or seconds == length:
            return f"-{seconds / length:g} {unit}"
    return f"-{seconds:g} s"
