"""The working-set curve: how much gets written within t, and where on it the links of a plan would look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar, Final

import numpy as np
from textual.content import Content
from textual.reactive import reactive

from engine.forecast.plans.verdict import Forecast
from engine.images.layout import LinkKind
from engine.tracking.curve import NO_CURVE, CurveKind, WorkingSetCurve
from engine.units import Unit, say_bytes, say_duration
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.heat_words import empty_lines
from widgets.plot import CURVE, LEVEL, MARK, axis_of_spans, axis_up_to, draw
from widgets.rate_chart import ChartMark
from widgets.verdict_lines import advised

_LABEL_WIDTH: Final = 6
_LEAST_HEIGHT: Final = 6
_LEAST_WIDTH: Final = 30
_SHORTEST_S: Final = 0.001
_ROOM_FOR_BUDGET: Final = 1.6
"""The budget is drawn if it is no higher than so many times the curve; else it is told in words."""


class CurveChart(SpanView):
    """U(t) filled, t on a logarithmic axis; the stop budget as a line, rounds and links as marks."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "curve-chart--curve",
        "curve-chart--axis",
        "curve-chart--mark",
        "curve-chart--budget",
        "curve-chart--title",
        "heat-map--empty",
    }

    DEFAULT_CSS = """
    CurveChart {
        width: 1fr;
        height: 1fr;
        min-height: 4;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        & > .curve-chart--curve { color: $text-primary; }
        & > .curve-chart--axis { color: $foreground 50%; }
        & > .curve-chart--mark { color: $text-accent; text-style: bold; }
        & > .curve-chart--budget { color: $text-success; }
        & > .curve-chart--title { color: $foreground; }
        & > .heat-map--empty { color: $foreground 60%; }
        &:ansi {
            & > .curve-chart--axis, & > .heat-map--empty { color: ansi_default; text-style: dim; }
            & > .curve-chart--title { color: ansi_default; }
        }
    }
    """

    empty_text: reactive[str] = reactive(
        "Not known yet: the curve grows out of ticks that re-arm. Press a to arm.", init=False
    )
    """What is said while nothing is known; literal."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._curve = NO_CURVE
        self._page_bytes = 4096
        self._forecast: Forecast | None = None
        self._budget_bytes: float | None = None
        self._links: tuple[ChartMark, ...] = ()
        self._time_s = 0.0
        self.border_title = Content("written within t")

    def show_curve(
        self,
        curve: WorkingSetCurve,
        page_bytes: int,
        *,
        time_s: float = 0.0,
        forecast: Forecast | None = None,
        budget_bytes: float | None = None,
        links: Sequence[ChartMark] = (),
    ) -> None:
        """Show this curve.

        Args:
            curve: of the newest sample.
            page_bytes: size of a page.
            time_s: monotonic, of that sample; what links are marked by.
            forecast: the rounds of the plan that it advises are marked where they look, 1, 2, … and ■.
            budget_bytes: what a dump may hold within the stop budget (`CostModel.bytes_within`).
            links: those already made, marked at their age, as in the rate chart.
        """
        self._curve, self._page_bytes, self._time_s = curve, page_bytes, time_s
        self._forecast, self._budget_bytes, self._links = forecast, budget_bytes, tuple(links)
        self._name_marks()
        self.redraw()

    def _name_marks(self) -> None:
        """Say what the signs on top are, on the frame, as far as there are any."""
        named = []
        if self._rounds():
            named.append("1 2 ■ links to come")
        if any(0 <= self._time_s - mark.time_s <= self._curve.window_s for mark in self._links):
            named.append("◂ links made")
        text = " · ".join(named)
        if str(self.border_subtitle) != text:
            self.border_subtitle = Content(text)

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self.redraw()

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """A headline, and the curve under it where there is room."""
        curve = self._curve
        if curve.window_s <= 0:
            return empty_lines(self.empty_text, width, height)
        if height < _LEAST_HEIGHT or width < _LEAST_WIDTH:
            return self._in_words(width, height)
        rounds = self._rounds()
        lowest_s = max(_SHORTEST_S, min([curve.finest_s, *(at for at, _ in rounds)]) / 2)
        x_axis = axis_of_spans(lowest_s, curve.window_s)
        at = np.linspace(x_axis.lowest, x_axis.highest, 2 * width)
        amounts = np.interp(10**at, curve.spans_s, curve.pages) * self._page_bytes
        highest = float(amounts[-1])
        budget = self._budget_bytes
        is_drawn = budget is not None and 0 < budget <= _ROOM_FOR_BUDGET * highest
        top = max(highest, budget) if is_drawn and budget is not None else highest
        unit = Unit.for_largest(top)
        ages = [(self._time_s - mark.time_s, "◂" + mark.label) for mark in self._links]
        marks = [(math.log10(s), label) for s, label in (*ages, *rounds) if lowest_s <= s <= curve.window_s]
        label = f"stop budget {say_duration(self._forecast.budget_s)}" if self._forecast else "stop budget"
        text = draw(
            width,
            height - 1,
            at.tolist(),
            (amounts / unit.bytes).tolist(),
            x_axis=x_axis,
            y_axis=axis_up_to(top / unit.bytes, _LABEL_WIDTH, 3 if height >= 8 else 2),
            marks=marks,
            level=(budget / unit.bytes, label) if is_drawn and budget is not None else None,
        )
        drawn = text.split("\n")
        return [
            fit_cell(self._headline(unit, is_drawn=is_drawn), width),
            *(_spans(line, label, y == 0) for y, line in enumerate(drawn)),
        ]

    def _rounds(self) -> list[tuple[float, str]]:
        """Where the links of the advised plan look: how long after the one before, and its sign."""
        if self._forecast is None or not self._forecast.plans:
            return []
        links = enumerate(advised(self._forecast).links, 1)
        return [
            (link.after_s, "■" if link.kind is LinkKind.DUMP else str(number))
            for number, link in links
            if number > 1 and link.after_s > 0
        ]

    def _headline(self, unit: Unit, *, is_drawn: bool) -> list[Span]:
        spans = [Span(f"{unit.name:>{_LABEL_WIDTH}} ", "curve-chart--axis"), *self._figures()]
        budget = self._budget_bytes
        if budget is not None and not is_drawn:
            spans.append(Span(f"  budget {say_bytes(budget)}", "curve-chart--budget"))
        return spans

    def _figures(self) -> list[Span]:
        curve = self._curve
        is_growth = curve.kind is CurveKind.GROWTH
        spans = [Span("first written within" if is_growth else "written within", "curve-chart--title")]
        for seconds, name in ((0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min")):
            if curve.finest_s <= seconds <= curve.window_s:
                amount = say_bytes(curve.at(seconds) * self._page_bytes)
                spans += [Span(f"  {name} ", "curve-chart--axis"), Span(amount, "curve-chart--curve")]
        if len(spans) == 1:
            amount = say_bytes(float(curve.pages[-1]) * self._page_bytes)
            spans.append(Span(f"  {say_duration(curve.window_s)} {amount}", "curve-chart--curve"))
        return spans

    def _in_words(self, width: int, height: int) -> list[list[Span]]:
        lines = [fit_cell(self._figures(), width)]
        if self._budget_bytes is not None:
            lines.append([Span(f"budget {say_bytes(self._budget_bytes)}", "curve-chart--budget")])
        return lines[: max(height, 1)]


def _spans(line: str, budget_label: str, is_top: bool) -> list[Span]:
    """Tell curve, lines and axes apart by the characters they are made of."""
    begins = max(line.find("┤"), line.find("│"))
    label_at = line.find(budget_label)
    labelled = range(label_at, label_at + len(budget_label)) if label_at >= 0 else range(0)

    def style(place: tuple[int, str]) -> str:
        x, character = place
        if x in labelled or character == LEVEL:
            return "curve-chart--budget"
        if character in CURVE:
            return "curve-chart--curve"
        is_mark = character == MARK or (is_top and x > begins >= 0)
        return "curve-chart--mark" if is_mark else "curve-chart--axis"

    return [Span("".join(text for _, text in run), name) for name, run in groupby(enumerate(line), style)]
