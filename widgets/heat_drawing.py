"""How the heat map is drawn: names, the map in half blocks or digits, and the lines below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from engine.tracking.sample import Sample
from widgets.columns import Span, fit_cell
from widgets.drawing import strip_of, style_of
from widgets.heat_picture import HeatPicture, content_of
from widgets.heat_ramp import DIGITS, levels_of, ramp
from widgets.heat_words import axis_line, empty_lines, label_of, legend_line, readout_line

_GUTTER: Final = 2
"""Cells for the cursor's mark, left of the picture."""
_LABELS: Final = 14
_LABELS_FROM: Final = 64
_AXIS_FROM: Final = 7
_HOT_DIGIT: Final = 6

Levels = NDArray[np.int8]


def _runs(figures: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Where equal figures stand side by side: begin and end of each run."""
    bounds = [0, *(np.flatnonzero(np.diff(figures)) + 1).tolist(), len(figures)]
    return pairwise(bounds) if len(figures) else iter(())


def _digit_class(level: int) -> str:
    return "heat-map--" + ("idle" if level <= 0 else "digit" if level < _HOT_DIGIT else "digit-hot")


class _Blocks:
    """Half blocks, in the colours of levels -1 to 9."""

    def __init__(self, colours: Sequence[Color]) -> None:
        self._colours = [colour.rich_color for colour in colours]
        self._styles: dict[int, Style] = {}

    def segments(self, lines: Levels) -> list[Segment]:
        """Two rows in one line; shape (2, columns)."""
        count = len(self._colours)
        pairs = (lines[0].astype(np.int64) + 1) * count + lines[1] + 1
        segments = []
        for begin, end in _runs(pairs):
            pair = int(pairs[begin])
            if pair not in self._styles:
                upper, lower = divmod(pair, count)
                self._styles[pair] = Style(color=self._colours[upper], bgcolor=self._colours[lower])
            segments.append(Segment("▀" * (end - begin), self._styles[pair]))
        return segments


def _labels_width(width: int) -> int:
    return _LABELS if width >= _LABELS_FROM else 0


def left_of_map(width: int) -> int:
    """How many of so many cells the names and the cursor's mark take."""
    return _GUTTER + _labels_width(width)


def map_height(height: int) -> int:
    """How many of so many lines the map itself takes."""
    return max(0, height - (3 if height >= _AXIS_FROM else 2))


class HeatDrawing:
    """One picture, drawn once.

    Args:
        widget: whose component classes, those of `HeatMap`, give the styles.
        picture: what to draw.
        sample: names the mappings; None: they have no names.
        size: cells to fill.
        has_digits: digits, one row a line, in place of colours, two rows a line.
        cursor_row: the row of the cursor, if it is in view.
        column: of the cursor, as an index into the columns in view.
        empty_text: what is said if there is nothing to draw; literal.
    """

    def __init__(
        self,
        widget: Widget,
        picture: HeatPicture,
        sample: Sample | None,
        size: Size,
        *,
        has_digits: bool,
        cursor_row: int | None,
        column: int,
        empty_text: str,
    ) -> None:
        self._widget = widget
        self._picture = picture
        self._sample = sample
        self._size = size
        self._has_digits = has_digits
        self._cursor_row = cursor_row
        self._column = column
        self._empty_text = empty_text

    def strips(self) -> list[Strip]:
        """The lines, from top to bottom; at most as many as there is room for."""
        picture, size, row, column = self._picture, self._size, self._cursor_row, self._column
        if not picture.row_count:
            lines = empty_lines(self._empty_text, size.width, size.height)
            return [strip_of(self._widget, line, size.width) for line in lines]
        strips = self._map_strips(map_height(size.height), size.width)
        below: list[list[Span]] = []
        if size.height >= _AXIS_FROM:
            below.append(axis_line(picture, size.width, left_of_map(size.width), column))
        shown = row if row is not None else picture.hottest_row()
        readout = readout_line(picture, shown, column, self._sample, size.width, is_cursor=row is not None)
        below.append(readout)
        strips += [strip_of(self._widget, fit_cell(line, size.width), size.width) for line in below]
        strips.append(self._legend(size.width))
        return strips[: size.height]

    def _map_strips(self, height: int, width: int) -> list[Strip]:
        picture = self._picture
        levels = levels_of(picture.rates)
        gap = width - _labels_width(width) - levels.shape[1] - 1
        blank = Segment(" " * gap, style_of(self._widget))
        each = 1 if self._has_digits else 2
        repeat = max(1, height * each // picture.row_count)
        pixels = np.repeat(levels, repeat, axis=0)
        row_of_pixel = np.repeat(np.arange(picture.row_count), repeat)
        spare = height * each - len(pixels)
        if spare > 0:
            pixels = np.vstack((pixels, np.full((spare, pixels.shape[1]), -1, np.int8)))
            row_of_pixel = np.append(row_of_pixel, np.full(spare, -1))
        draw = self._digit_segments if self._has_digits else _Blocks(self._colours()).segments
        labels = self._labels(row_of_pixel[::each], width)
        marks = self._marks(row_of_pixel, each)
        strips = []
        for y in range(height):
            line = pixels[y * each : (y + 1) * each]
            segments = [*labels[y], marks[y], blank, *draw(line)]
            strips.append(Strip(segments).adjust_cell_length(width, style_of(self._widget)))
        return strips

    def _labels(self, rows: NDArray[np.int64], width: int) -> list[list[Segment]]:
        """What each line begins with: the mapping's name where another begins."""
        room = _labels_width(width)
        if not room:
            return [[] for _ in rows]
        style = style_of(self._widget, "heat-map--label")
        lines, before = [], ""
        for row in rows.tolist():
            content = content_of(self._picture, row, self._sample) if row >= 0 and self._sample else None
            label = label_of(content, room - 1) if content else ""
            shown = label if label != before else ""
            before = label
            spans = fit_cell([Span(shown)], room)
            lines.append([Segment("".join(span.text for span in spans), style)])
        return lines

    def _marks(self, row_of_pixel: NDArray[np.int64], each: int) -> list[Segment]:
        """The cursor's mark: which half of the line it is on."""
        style, plain = style_of(self._widget, "heat-map--cursor"), style_of(self._widget)
        row = self._cursor_row
        marks = []
        for lines in row_of_pixel.reshape(-1, each).tolist():
            on = [row is not None and pixel == row for pixel in lines]
            sign = "▶" if all(on) else " " if not any(on) else "▀" if on[0] else "▄"
            marks.append(Segment(sign, style if any(on) else plain))
        return marks

    def _digit_segments(self, line: Levels) -> list[Segment]:
        text = "".join(DIGITS[level] if level >= 0 else " " for level in line[0].tolist())
        styles = {level: style_of(self._widget, _digit_class(level)) for level in set(line[0].tolist())}
        return [Segment(text[begin:end], styles[int(line[0, begin])]) for begin, end in _runs(line[0])]

    def _colours(self) -> list[Color]:
        """Of levels -1 (none) to 9."""
        background = self._widget.background_colors[1]
        idle = background + self._widget.get_component_styles("heat-map--idle").color
        cold, hot = (self._widget.get_component_styles(f"heat-map--{end}").color for end in ("cold", "hot"))
        return [background, idle, *ramp(background, cold, hot)]

    def _legend(self, width: int) -> Strip:
        if self._has_digits:
            spans = [
                span._replace(style=_digit_class(int(span.style))) if span.style.isdigit() else span
                for span in legend_line(width, DIGITS)
            ]
            return strip_of(self._widget, fit_cell(spans, width), width)
        styles = [style_of(self._widget)]
        styles += [Style(color=c.rich_color, bgcolor=styles[0].bgcolor) for c in self._colours()[1:]]
        segments = []
        for span in legend_line(width, "■" * len(DIGITS)):
            is_key = span.style.isdigit()
            style = styles[int(span.style) + 1] if is_key else style_of(self._widget, span.style)
            segments.append(Segment(span.text, style))
        return Strip(segments).adjust_cell_length(width, styles[0])
