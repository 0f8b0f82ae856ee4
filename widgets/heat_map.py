"""The heat map: memory from top to bottom, time from left to right, and how much was written as colour.

Holes are closed up, so that every row is memory in use. Two rows share a line by half blocks; where there
are no colours each line is one row of digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from engine.tracking.heat import HeatColumn
from engine.tracking.sample import Sample
from engine.units import say_bytes
from widgets.drawing import style_of
from widgets.heat_drawing import HeatDrawing, left_of_map, map_height
from widgets.heat_picture import HeatPicture, Place, Zoom, content_of, hottest_part
from widgets.vma_rows import VmaIdentity

_STEP: Final = 4
"""How much closer each zoom goes."""
_ROOM_FOR_HINT: Final = 20
"""Cells that the title takes of the frame, at least."""


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

    def _arrange(self, size: Size) -> None:
        rows = map_height(size.height) * (1 if self._has_digits else 2)
        width = max(0, size.width - left_of_map(size.width))
        self._picture = HeatPicture.of(self._history, rows, width, self._zoom)
        self.border_subtitle = Content(self._scale())

    def _scale(self) -> str:
        picture = self._picture
        if not picture.row_count:
            return ""
        page_bytes = picture.columns[-1].page_bytes
        row = f"a row ≈ {say_bytes(picture.pages.mean() * page_bytes)}"
        if self._zoom is not None:
            hint = "zoomed in: F shows all · "
        else:
            hint = "arrows look closer, f zooms in · " if self.has_focus else "Tab goes here · "
        return hint + row if self.size.width >= len(hint + row) + _ROOM_FOR_HINT else row

    def on_focus(self) -> None:
        """Other keys are of use."""
        self._redraw()

    def on_blur(self) -> None:
        """Other keys are of use."""
        self._redraw()

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            self._arrange(size)
            self._drawn = size, self._drawing(size).strips()
        strips = self._drawn[1]
        return strips[y] if y < len(strips) else Strip.blank(size.width, style_of(self))

    def _drawing(self, size: Size) -> HeatDrawing:
        empty = self.empty_text if not self._history else "No writable memory is in use."
        return HeatDrawing(
            self,
            self._picture,
            self._sample,
            size,
            has_digits=self._has_digits,
            cursor_row=self._cursor_row(),
            column=self._column(),
            empty_text=empty,
        )

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
        rows = map_height(self.content_size.height) * (1 if self._has_digits else 2)
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
        if offset is None or not picture.row_count or offset.y >= map_height(size.height):
            return
        event.stop()
        each = 1 if self._has_digits else 2
        repeat = max(1, map_height(size.height) * each // picture.row_count)
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
