"""From spans to what a terminal shows: the one place where component classes become styles."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from widgets.columns import Span, fit_cell


def style_of(widget: Widget, *component_classes: str) -> Style:
    """The widget's style with these component classes on top, the last one uppermost."""
    names = [name for name in component_classes if name]
    style = widget.get_visual_style(*names).rich_style
    # Visual styles know no reverse video, which is all that shows a cursor where there are no colours.
    if any(widget.get_component_styles(name).text_style.reverse for name in names):
        style += Style(reverse=True)
    return style


def strip_of(widget: Widget, spans: Sequence[Span], width: int, row_class: str = "") -> Strip:
    """A line of exactly `width` cells: spans in their own styles, over that of the row.

    The text goes to the terminal as it is: nothing in it is markup, and it must be printable.
    """
    row = style_of(widget, row_class)
    # In reverse video a cell's colour would become its background: the line goes as one.
    plain = bool(row.reverse)
    names = {span.style for span in spans}
    styles = {name: row if plain or not name else style_of(widget, row_class, name) for name in names}
    segments = [Segment(span.text, styles[span.style]) for span in spans if span.text]
    return Strip(segments).adjust_cell_length(width, row)


class SpanView(Widget):
    """A widget that shows a few lines made of spans; drawn once for each size and each `redraw`."""

    ALLOW_SELECT = False

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._drawn: tuple[Size, list[Strip]] | None = None

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """What to show in so many cells; `height` is 0 where the widget itself decides on its height."""
        raise NotImplementedError

    def redraw(self, *, layout: bool = False) -> None:
        """Something that `lines` shows has changed; `layout` if their number may have."""
        self._drawn = None
        self.refresh(layout=layout)

    def notify_style_update(self) -> None:
        """Forget what was drawn in other colours."""
        super().notify_style_update()
        self._drawn = None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are to show, where the height is `auto`."""
        return len(self.lines(width, 0))

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        size = self.content_size
        if self._drawn is None or self._drawn[0] != size:
            lines = self.lines(size.width, size.height)
            self._drawn = size, [strip_of(self, fit_cell(line, size.width), size.width) for line in lines]
        drawn = self._drawn[1]
        return drawn[y] if y < len(drawn) else Strip.blank(size.width, style_of(self))
