"""Four figures to read from across the room: present, written, since armed, pending."""

from __future__ import annotations

import math
from typing import ClassVar, Final, NamedTuple

from textual.reactive import reactive

from engine.tracking.sample import RateMode, Sample
from engine.units import NOTHING, format_count, split_bytes
from widgets.big_figures import big
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.measured import has_rates, is_tracked

_BIG_FROM: Final = 112
"""Cells from which four figures of three lines' height fit, units and all."""

_LEAST_UNIT: Final = "MiB"
"""As in the tables: 140 KiB/s in a lull would look like more than the 32 MiB/s of the burst before."""


class _Tile(NamedTuple):
    label: str
    figure: str
    unit: str
    detail: str
    style: str


class TotalsBar(SpanView):
    """Tiles: figures three lines high where there is room, else one line."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "totals-bar--label",
        "totals-bar--unit",
        "totals-bar--present",
        "totals-bar--written",
        "totals-bar--armed",
        "totals-bar--pending",
    }

    DEFAULT_CSS = """
    TotalsBar {
        width: 1fr;
        height: auto;
        padding: 0 1;
        & > .totals-bar--label { color: $foreground 55%; }
        & > .totals-bar--unit { color: $foreground 75%; }
        & > .totals-bar--present { color: $foreground; text-style: bold; }
        & > .totals-bar--written { color: $text-warning; text-style: bold; }
        & > .totals-bar--armed { color: $text-primary; text-style: bold; }
        & > .totals-bar--pending { color: $text-accent; text-style: bold; }
        &:ansi {
            & > .totals-bar--label { color: ansi_default; text-style: dim; }
            & > .totals-bar--unit, & > .totals-bar--present { color: ansi_default; }
        }
    }
    """

    compact: reactive[bool] = reactive(False, init=False)
    """Two lines even where there is width for more: for low terminals."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._tiles = _tiles(None)

    def show_sample(self, sample: Sample | None) -> None:
        """Show the totals of this sample; None: dashes."""
        tiles = _tiles(sample)
        if tiles != self._tiles:
            self._tiles = tiles
            self.redraw()

    def watch_compact(self) -> None:
        """Take less room, or more."""
        self.redraw(layout=True)

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """A line of labels, and the figures under it."""
        is_big = width >= _BIG_FROM and not self.compact
        rows: list[list[Span]] = [[] for _ in range(4 if is_big else 2)]
        for number, tile in enumerate(self._tiles):
            # Whole cells, and together exactly the width.
            room = width * (number + 1) // len(self._tiles) - width * number // len(self._tiles)
            label = [Span(tile.label, "totals-bar--label")]
            if is_big:
                label.append(Span("  " + tile.detail, "totals-bar--unit"))
            body = _big(tile) if is_big else [[Span(tile.figure, tile.style), Span(" " + tile.unit)]]
            for row, spans in zip(rows, [label, *body], strict=True):
                row.extend(fit_cell(spans, room - 1))
                row.append(Span(" "))
        return rows


def _big(tile: _Tile) -> list[list[Span]]:
    upper, middle, lower = big(tile.figure)
    return [
        [Span(upper, tile.style)],
        [Span(middle, tile.style)],
        [Span(lower, tile.style), Span(" " + tile.unit, "totals-bar--unit")],
    ]


def _tiles(sample: Sample | None) -> tuple[_Tile, ...]:
    def tile(label: str, pages: int, style: str) -> _Tile:
        figure, unit = split_bytes(pages * (sample.page_bytes if sample else 0), _LEAST_UNIT)
        return _Tile(label, figure, unit, format_count(pages) + " pages", f"totals-bar--{style}")

    if sample is None:
        return tuple(
            _Tile(label, NOTHING, "", "", f"totals-bar--{style}")
            for label, style in (
                ("present", "present"),
                ("written", "written"),
                ("since armed", "armed"),
                ("pending", "pending"),
            )
        )
    totals = sample.totals
    rates = has_rates(sample)
    figure, unit = split_bytes(sample.bytes_per_s if rates else math.nan, _LEAST_UNIT)
    pages_per_s = format_count(totals.pages_per_s) + " pages/s" if rates else ""
    armed = tile("since armed", totals.since_armed_pages, "armed")
    if not is_tracked(sample):
        armed = armed._replace(figure=NOTHING, unit="", detail="")
    label = "first written" if sample.mode is RateMode.CUMULATIVE else "written"
    return (
        tile("present", totals.present_pages, "present"),
        _Tile(label, figure, unit + "/s" if unit else "", pages_per_s, "totals-bar--written"),
        armed,
        tile("pending", totals.pending_pages, "pending"),
    )
