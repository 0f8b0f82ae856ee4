"""One line that names the watched targets, if there are several; a click brings one into view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.view.facts import Facts
from tui.view.shown import TargetView
from widgets.target_trends import TargetTrend
from widgets.trend import scaled_bars

_NAME_CELLS: Final = 20
_TREND_CELLS: Final = 6
_MORE: Final = "… "


class _Label(NamedTuple):
    text: str
    target: int
    """Of the target; -1: of none."""


class TargetStrip(Widget):
    """The targets side by side, each with its trend where there is room; the one in view is among them."""

    ALLOW_SELECT = False

    class Chosen(Message):
        """The user clicked a target."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._trends: list[TargetTrend] = []
        self._current = -1

    def show_targets(self, targets: Sequence[TargetView], current: int | None) -> None:
        """Show these; hidden if there is no choice. `current` is the index of the one in view."""
        self._names = [_name(number, target.facts) for number, target in enumerate(targets, 1)]
        self._trends = [target.trend for target in targets]
        self._current = current if current is not None else -1
        self.set_class(len(self._names) < 2, "-single")
        self.refresh()

    def render(self) -> Content:
        """The labels, as many as there is room for."""
        return Content.assemble(
            *((label.text, _style(label.target == self._current)) for label in self._labels(self.size.width))
        )

    def _labels(self, width: int) -> list[_Label]:
        labels = [_Label(name, index) for index, name in enumerate(self._names)]
        room = width - sum(cell_len(name) for name in self._names)
        if room >= len(labels) * (_TREND_CELLS + 1):
            # On one scale, as where each target has a line.
            peak = max((float(np.nanmax(each.rates, initial=0.0)) for each in self._trends), default=0.0)
            return [
                _Label(f"{label.text}{scaled_bars(trend.rates, _TREND_CELLS, peak)} ", label.target)
                for label, trend in zip(labels, self._trends, strict=False)
            ]
        first = 0
        while first < self._current and 0 < width < _cells(labels[first : self._current + 1], first):
            first += 1
        return [_Label(_MORE, -1), *labels[first:]] if first else labels

    def on_click(self, event: events.Click) -> None:
        """Find the target under the pointer."""
        x = event.get_content_offset_capture(self).x
        for label in self._labels(self.size.width):
            x -= cell_len(label.text)
            if x < 0:
                if label.target >= 0:
                    self.post_message(self.Chosen(label.target))
                return


def _cells(labels: Sequence[_Label], first: int) -> int:
    return sum(cell_len(label.text) for label in labels) + (len(_MORE) if first else 0)


def _name(number: int, target: Facts) -> str:
    name = target.command or "…"
    if len(name) > _NAME_CELLS:
        name = name[: _NAME_CELLS - 1] + "…"
    return f" {number} {_mark(target)}{name} {target.pid} "


def _mark(target: Facts) -> str:
    if target.is_over:
        return "✕ "
    if target.is_busy:
        return "◆ "
    return "◇ " if target.wait is not None else ""


def _style(is_current: bool) -> str:
    if is_current:
        return "bold $block-cursor-foreground on $block-cursor-background"
    return "$foreground 60%"
