"""Figures of two targets side by side; of each pair the one that makes a dump harder is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from engine.printable import printable
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView

_LABEL_WIDTH: Final = 26
_LEAST_LABEL_WIDTH: Final = 16
_FIGURE_WIDTH: Final = 26
_CLEARLY: Final = 1.1


@dataclass(frozen=True, slots=True)
class Pair:
    """One line."""

    label: str
    first: str
    second: str
    measures: tuple[float, float] | None = None
    """What the two come to: the larger is marked. None: nothing is marked."""


class SideBySide(SpanView):
    """Names above, a line for each pair."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "side-by-side--label",
        "side-by-side--first",
        "side-by-side--second",
        "side-by-side--harder",
    }

    DEFAULT_CSS = """
    SideBySide {
        width: 1fr;
        height: auto;
        padding: 0 1;
        & > .side-by-side--label { color: $foreground 60%; }
        & > .side-by-side--first { color: $text-primary; text-style: bold; }
        & > .side-by-side--second { color: $text-accent; text-style: bold; }
        & > .side-by-side--harder { color: $text-warning; text-style: bold; }
        &:ansi > .side-by-side--label { color: ansi_default; text-style: dim; }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._names = ("", "")
        self._pairs: tuple[Pair, ...] = ()

    def show_pairs(self, names: tuple[str, str], pairs: Sequence[Pair]) -> None:
        """Show these under these names."""
        grows = len(pairs) != len(self._pairs)
        self._names, self._pairs = names, tuple(pairs)
        self.redraw(layout=grows)

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """The names, then the pairs; columns stay where they are whatever the figures."""
        label = min(_LABEL_WIDTH, max(_LEAST_LABEL_WIDTH, width // 3))
        figure = max(1, min(_FIGURE_WIDTH, (width - label) // 2))
        lines = [
            [
                Span(" " * label),
                *fit_cell([Span(printable(self._names[0]), "side-by-side--first")], figure),
                *fit_cell([Span(printable(self._names[1]), "side-by-side--second")], figure),
            ]
        ]
        for pair in self._pairs:
            line = fit_cell([Span(pair.label, "side-by-side--label")], label)
            for text, is_harder in zip((pair.first, pair.second), _harder(pair), strict=True):
                mark = " ▲" if is_harder else ""
                style = "side-by-side--harder" if is_harder else ""
                line += fit_cell([Span(text, style), Span(mark, "side-by-side--harder")], figure)
            lines.append(line)
        return lines


def _harder(pair: Pair) -> tuple[bool, bool]:
    if pair.measures is None:
        return False, False
    first, second = pair.measures
    return first > _CLEARLY * second, second > _CLEARLY * first
