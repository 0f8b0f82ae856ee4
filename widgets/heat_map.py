"""The heat map: memory from top to bottom, time from left to right, and how much was written as colour.

Holes are closed up, so that every row is memory in use. Two rows share a line by half blocks; where there
are no colours each line is one row of digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from engine.tracking.heat import HeatColumn
from engine.tracking.sample import Sample
from widgets.columns import Span, fit_cell
from widgets.drawing import strip_of, style_of
from widgets.heat_picture import HeatPicture, Place, Zoom, content_of, hottest_part
from widgets.heat_ramp import DIGITS, levels_of, ramp
from widgets.heat_words import axis_line, empty_lines, label_of, legend_line, readout_line
from widgets.units import say_bytes
from widgets.vma_rows import VmaIdentity

_GUTTER: Final = 2
"""Cells for the cursor's mark, left of the picture."""
_LABELS: Final = 14
_LABELS_FROM: Final = 64
_AXIS_FROM: Final = 9
_HOT_DIGIT: Final = 6
_STEP: Final = 4
"""How much closer each zoom goes."""

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


class HeatMap(Widget, can_focus=True):
    """Which parts of memory were written when. `show_history` gives it all it shows."""

    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Up", show=False),
        Binding("down,j", "move(1, 0)", "Down", show=False),
        Binding("left", "move(0, -1)", "Earlier", show=False),
        Binding("right", "move(0, 1)", "Later", show=False),
        Binding("pageup", "move(-10, 0)", "Up by ten", show=False),
        Binding("pagedown", "move(10, 0)", "Down by ten", show=False),
        Binding("home,g", "hottest", "Hottest row", show=False),
        Binding("end,G", "newest", "Back to now", show=False),
        Binding("f", "zoom_in", "Zoom to the hottest", show=False),
        Binding("F,escape", "zoom_out", "All of memory", show=False),
        Binding("n", "toggle_digits", "Digits or colours", show=False),
        Binding("enter", "choose", "Show the mapping", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat-map--cold",
        "heat-map--hot",
        "heat-map--idle",
        "heat-map--label",
        "heat-map--axis",
        "heat-map--cursor",
        "heat-map--readout",
        "heat-map--rate",
        "heat-map--empty",
        "heat-map--digit",
        "heat-map--digit-hot",
    }

    DEFAULT_CSS = """
    HeatMap {
        width: 1fr;
        height: 1fr;
        min-height: 4;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        &:focus { border: round $border; }
        & > .heat-map--cold { color: $primary; }
        & > .heat-map--hot { color: $accent; }
        & > .heat-map--idle { color: $foreground 12%; }
        & > .heat-map--label { color: $foreground 55%; }
        & > .heat-map--axis { color: $foreground 50%; }
        & > .heat-map--cursor { color: $accent; text-style: bold; }
        & > .heat-map--readout { color: $foreground; }
        & > .heat-map--rate { color: $text-accent; text-style: bold; }
        & > .heat-map--empty { color: $foreground 60%; }
        & > .heat-map--digit { color: $foreground 75%; }
        & > .heat-map--digit-hot { color: $foreground; text-style: bold; }
        &:ansi {
            & > .heat-map--idle, & > .heat-map--label, & > .heat-map--axis, & > .heat-map--empty {
                color: ansi_default; text-style: dim;
            }
            & > .heat-map--readout, & > .heat-map--digit { color: ansi_default; }
            & > .heat-map--digit-hot { color: ansi_default; text-style: bold; }
            & > .heat-map--cursor { color: ansi_default; text-style: bold reverse; }
        }
        &:nocolor > .heat-map--cursor { text-style: reverse; }
    }
    """

    digits: reactive[bool] = reactive(False, init=False)
    """Digits in place of colours; always so where there are none."""
    empty_text: reactive[str] = reactive(
        "Nothing is tracked yet. Press a to arm: from then on each tick adds a column here.", init=False
    )
    """What is said while there is no column; literal."""

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, heat_map: HeatMap, identity: VmaIdentity | None) -> None:
            super().__init__()
            self.heat_map = heat_map
            self.identity = identity
            """The mapping most written there, if any."""

        @property
        def control(self) -> HeatMap:
            """The map, for `@on` selectors."""
            return self.heat_map

    class Chosen(Message):
        """Enter, or a double click, on a row."""

        def __init__(self, heat_map: HeatMap, identity: VmaIdentity) -> None:
            super().__init__()
            self.heat_map = heat_map
            self.identity = identity
            """The mapping most written there."""

        @property
        def control(self) -> HeatMap:
            """The map, for `@on` selectors."""
            return self.heat_map

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._history: tuple[HeatColumn, ...] = ()
        self._sample: Sample | None = None
        self._zoom: Zoom | None = None
        self._cursor: Place | None = None
        self._time_s: float | None = None
        """Of the column that the cursor is on; None for the newest, whichever that is."""
        self._picture = HeatPicture.of((), 0, 0)
        self._drawn: tuple[Size, list[Strip]] | None = None
        self.border_title = Content("memory over time")

    # -- what is shown

    def show_history(self, history: Sequence[HeatColumn], sample: Sample | None) -> None:
        """Show these columns, oldest first, and name mappings as they are in this sample.

        Columns without an interval have no rate and show as gaps.
        """
        self._history = tuple(history)
        self._sample = sample
        self._redraw()

    @property
    def is_zoomed(self) -> bool:
        """Whether only a part of memory is shown."""
        return self._zoom is not None

    @property
    def cursor_identity(self) -> VmaIdentity | None:
        """The mapping most written in the cursor's row."""
        row = self._cursor_row()
        if row is None or self._sample is None:
            return None
        content = content_of(self._picture, row, self._sample)
        return VmaIdentity(content.process.pid, content.vma.start) if content else None

    def _redraw(self) -> None:
        self._drawn = None
        self._arrange(self.content_size)
        self.refresh()

    def notify_style_update(self) -> None:
        """Forget what was drawn in other colours."""
        super().notify_style_update()
        self._drawn = None

    def on_resize(self) -> None:
        """Other rows."""
        self._redraw()

    def watch_digits(self) -> None:
        """Draw the other way."""
        self._redraw()

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self._redraw()

    @property
    def _has_digits(self) -> bool:
        return self.digits or self.app.no_color or self.app.native_ansi_color

    def _labels_width(self, width: int) -> int:
        return _LABELS if width >= _LABELS_FROM else 0

    def _map_height(self, height: int) -> int:
        return max(0, height - (3 if height >= _AXIS_FROM else 2))

    def _arrange(self, size: Size) -> None:
        rows = self._map_height(size.height) * (1 if self._has_digits else 2)
        width = max(0, size.width - _GUTTER - self._labels_width(size.width))
        self._picture = HeatPicture.of(self._history, rows, width, self._zoom)
        self.border_subtitle = Content(self._scale())

    def _scale(self) -> str:
        picture = self._picture
        if not picture.row_count:
            return ""
        page_bytes = picture.columns[-1].page_bytes
        part = "" if self._zoom is None else "zoomed in, F shows all · "
        return f"{part}a row ≈ {say_bytes(picture.pages.mean() * page_bytes)}"

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            self._arrange(size)
            self._drawn = size, self._strips(size)
        strips = self._drawn[1]
        return strips[y] if y < len(strips) else Strip.blank(size.width, style_of(self))

    def _strips(self, size: Size) -> list[Strip]:
        picture = self._picture
        if not picture.row_count:
            text = self.empty_text if not self._history else "No memory that could be written is in use."
            lines = empty_lines(text, size.width, size.height)
            return [strip_of(self, line, size.width) for line in lines]
        height = self._map_height(size.height)
        strips = self._map_strips(height, size.width)
        row = self._cursor_row()
        below: list[list[Span]] = []
        left = _GUTTER + self._labels_width(size.width)
        if size.height >= _AXIS_FROM:
            below.append(axis_line(picture, size.width, left, self._column()))
        shown = row if row is not None else picture.hottest_row()
        below.append(readout_line(picture, shown, self._column(), self._sample, is_cursor=row is not None))
        strips += [strip_of(self, fit_cell(line, size.width), size.width) for line in below]
        strips.append(self._legend(size.width))
        return strips[: size.height]

    def _map_strips(self, height: int, width: int) -> list[Strip]:
        picture = self._picture
        levels = levels_of(picture.rates)
        gap = width - self._labels_width(width) - levels.shape[1] - 1
        blank = Segment(" " * gap, style_of(self))
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
            strips.append(Strip(segments).adjust_cell_length(width, style_of(self)))
        return strips

    def _labels(self, rows: NDArray[np.int64], width: int) -> list[list[Segment]]:
        """What each line begins with: the mapping's name where another begins."""
        room = self._labels_width(width)
        if not room:
            return [[] for _ in rows]
        style = style_of(self, "heat-map--label")
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
        style, plain = style_of(self, "heat-map--cursor"), style_of(self)
        row = self._cursor_row()
        marks = []
        for lines in row_of_pixel.reshape(-1, each).tolist():
            on = [row is not None and pixel == row for pixel in lines]
            sign = "▶" if all(on) else " " if not any(on) else "▀" if on[0] else "▄"
            marks.append(Segment(sign, style if any(on) else plain))
        return marks

    def _digit_segments(self, line: Levels) -> list[Segment]:
        text = "".join(DIGITS[level] if level >= 0 else " " for level in line[0].tolist())
        styles = {level: style_of(self, _digit_class(level)) for level in set(line[0].tolist())}
        return [Segment(text[begin:end], styles[int(line[0, begin])]) for begin, end in _runs(line[0])]

    def _colours(self) -> list[Color]:
        """Of levels -1 (none) to 9."""
        background = self.background_colors[1]
        idle = background + self.get_component_styles("heat-map--idle").color
        cold, hot = (self.get_component_styles(f"heat-map--{end}").color for end in ("cold", "hot"))
        return [background, idle, *ramp(background, cold, hot)]

    def _legend(self, width: int) -> Strip:
        if self._has_digits:
            spans = [
                span._replace(style=_digit_class(int(span.style))) if span.style.isdigit() else span
                for span in legend_line(width, DIGITS)
            ]
            return strip_of(self, fit_cell(spans, width), width)
        styles = [style_of(self)]
        styles += [Style(color=c.rich_color, bgcolor=styles[0].bgcolor) for c in self._colours()[1:]]
        segments = []
        for span in legend_line(width, "■" * len(DIGITS)):
            is_key = span.style.isdigit()
            style = styles[int(span.style) + 1] if is_key else style_of(self, span.style)
            segments.append(Segment(span.text, style))
        return Strip(segments).adjust_cell_length(width, styles[0])

    # -- cursor

    def _cursor_row(self) -> int | None:
        return self._picture.row_of(self._cursor) if self._cursor is not None else None

    def _column(self) -> int:
        """The column that the cursor is on, as an index into those in view."""
        times_s = [column.time_s for column in self._picture.columns]
        if self._time_s is None or self._time_s not in times_s:
            return len(times_s) - 1
        return times_s.index(self._time_s)

    def move_to(self, row: int, column: int | None = None) -> None:
        """Put the cursor on a row and column in view, or the nearest there are; None: the newest."""
        picture = self._picture
        if not picture.row_count:
            return
        before = self._cursor
        self._cursor = picture.place(max(0, min(row, picture.row_count - 1)))
        last = len(picture.columns) - 1
        column = last if column is None else max(0, min(column, last))
        self._time_s = None if column == last else picture.columns[column].time_s
        self._redraw()
        if self._cursor != before:
            self.post_message(self.Moved(self, self.cursor_identity))

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor; the first time it appears on the hottest row."""
        row = self._cursor_row()
        if row is None:
            self.action_hottest()
        else:
            self.move_to(row + rows, self._column() + columns)

    def action_hottest(self) -> None:
        """Go to the row with the most written in view."""
        self.move_to(self._picture.hottest_row() or 0, self._column())

    def action_newest(self) -> None:
        """Go back to the newest column, and stay with it."""
        self.move_to(self._cursor_row() or 0)

    def action_choose(self) -> None:
        """Tell which mapping is under the cursor."""
        if (identity := self.cursor_identity) is not None:
            self.post_message(self.Chosen(self, identity))

    def action_toggle_digits(self) -> None:
        """Digits in place of colours, or colours again."""
        self.digits = not self.digits

    # -- zoom

    def action_zoom_in(self) -> None:
        """Show the hottest part of memory larger; where that is as large as can be, all of it again."""
        layout = self._picture.layout
        count = self._zoom.count if self._zoom is not None else len(layout)
        rows = self._map_height(self.content_size.height) * (1 if self._has_digits else 2)
        least = max(1, min(rows, math.ceil(len(layout) / _STEP)))
        zoom = hottest_part(self._history, max(least, count // _STEP)) if count > least else None
        if zoom is None or zoom.count >= count:
            self.action_zoom_out()
            return
        self._zoom = zoom
        self._redraw()
        self.action_hottest()

    def action_zoom_out(self) -> None:
        """Show all of memory."""
        if self._zoom is not None:
            self._zoom = None
            self._redraw()

    # -- mouse

    def on_click(self, event: events.Click) -> None:
        """Go to that row and column; twice: choose it."""
        offset = event.get_content_offset(self)
        picture = self._picture
        size = self.content_size
        if offset is None or not picture.row_count or offset.y >= self._map_height(size.height):
            return
        event.stop()
        each = 1 if self._has_digits else 2
        repeat = max(1, self._map_height(size.height) * each // picture.row_count)
        row = offset.y * each // repeat
        # A click says which line, not which half of it: a second one there goes to the other half.
        if each == 2 and repeat == 1 and self._cursor_row() == row:
            row += 1
        column = offset.x - (size.width - len(picture.columns))
        if row < picture.row_count:
            if event.chain == 2:
                self.action_choose()
            else:
                self.move_to(row, column if column >= 0 else None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        event.stop()
        self.action_zoom_in()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """All of memory."""
        event.stop()
        self.action_zoom_out()
