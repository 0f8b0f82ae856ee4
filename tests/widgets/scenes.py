"""Frozen scenes for the widgets that help to decide: heat, curves, forecasts, chains and targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.checkpoint.link import Engine, LinkResult
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Plan
from engine.forecast.plans.truth import Outcome, Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.triggers.armed import Action, Armed, Decision
from engine.forecast.triggers.conditions import AtDeadline, StopBelow, Trigger
from engine.images.layout import LinkKind
from engine.kernel.maps import Maps
from engine.pageset import PageSet
from engine.tracking.curve import CurveKind, WorkingSetCurve
from engine.tracking.heat import Found, HeatColumn, HeatGrid
from widgets.target_header import TargetState
from widgets.target_trends import TargetTrend

MIB: Final = 1 << 20
PID: Final = 4242
HEAP: Final = 3
ARENA: Final = 6
SHARED: Final = 7


def heat_of(maps: Maps, ticks: int = 120) -> list[HeatColumn]:
    """A hand that walks through the heap, bursts over an arena, and a slow start in shared memory."""
    grid, random = HeatGrid(), np.random.default_rng(1)
    present = PageSet(maps.starts, np.minimum(maps.ends, maps.starts + 30_000))
    heap, arena, shared = (int(maps.starts[at]) for at in (HEAP, ARENA, SHARED))

    def written(at: int) -> PageSet:
        hand = heap + at * 150 % 18_000
        parts = [PageSet([hand], [hand + 400]), PageSet([shared + 5000], [shared + 5001 + at % 50 * 10])]
        parts.append(PageSet.from_pages(arena + np.unique(random.zipf(1.3, 3000) % 30_000)))
        if at % 30 < 8:
            parts.append(PageSet([arena], [arena + 25_000]))
        return PageSet.union_all(parts)

    return [grid.tick(100.0 + at, 1.0, [Found(PID, maps, present, written(at))]) for at in range(ticks)]


def curve() -> WorkingSetCurve:
    """Half of what it ever writes within two seconds."""
    spans_s = np.concatenate(([0.0, 0.005, 0.02, 0.1], np.arange(0.5, 120.0, 0.5)))
    return WorkingSetCurve(CurveKind.RECENT, spans_s, np.rint(60_000 * spans_s / (spans_s + 2)).astype(int))


def _link(kind: LinkKind, pages: int, seconds: float, stop_s: float, after_s: float) -> LinkForecast:
    def about(value: float) -> Estimate:
        return Estimate(0.7 * value, value, 1.5 * value)

    return LinkForecast(kind, about(pages), about(seconds), about(stop_s), after_s)


DUMP_AT_ONCE: Final = Plan((_link(LinkKind.DUMP, 131_072, 0.9, 0.41, 0.01),))
PRE_DUMPED_TWICE: Final = Plan(
    (
        _link(LinkKind.PRE_DUMP, 131_072, 0.45, 0, 0),
        _link(LinkKind.PRE_DUMP, 11_000, 0.06, 0, 0.45),
        _link(LinkKind.DUMP, 3_100, 0.09, 0.014, 0.07),
    )
)
SMALL: Final = Plan((_link(LinkKind.DUMP, 3_100, 0.09, 0.014, 0.07),))
FORECASTS: Final = {
    Verdict.UNKNOWN: Forecast(0.0, 0.1),
    Verdict.DUMP_NOW: Forecast(0.0, 0.1, (SMALL, SMALL, SMALL), 0, Verdict.DUMP_NOW),
    Verdict.PRE_DUMP: Forecast(0.0, 0.1, (DUMP_AT_ONCE, DUMP_AT_ONCE, PRE_DUMPED_TWICE), 2, Verdict.PRE_DUMP),
    Verdict.WAIT: Forecast(
        0.0, 0.1, (DUMP_AT_ONCE, DUMP_AT_ONCE), 0, Verdict.WAIT, in_lull=SMALL, lull_in_s=4.0
    ),
    Verdict.WILL_NOT_CONVERGE: Forecast(
        0.0, 0.1, (DUMP_AT_ONCE, DUMP_AT_ONCE), 0, Verdict.WILL_NOT_CONVERGE, 2.1 * 2**30, 0.9 * 2**30, False
    ),
}
TRUTH: Final = Truth(
    (
        Outcome(PRE_DUMPED_TWICE.links[0], LinkKind.PRE_DUMP, 130_100, 0.44, 0.0),
        Outcome(PRE_DUMPED_TWICE.links[1], LinkKind.PRE_DUMP, 11_800, 0.07, 0.0),
        Outcome(PRE_DUMPED_TWICE.links[2], LinkKind.DUMP, 3_000, 0.09, 0.015),
    )
)
WAITING: Final = Decision(Action.WAIT, "it would stop for 410 ms")
TRIGGER: Final = Armed(Trigger(StopBelow(0.05), 60.0, AtDeadline.DUMP), 100.0)


def links() -> list[LinkResult]:
    first = LinkResult(
        1, LinkKind.PRE_DUMP, Path("chain/1"), Engine.MEMORY, 131_072, 0, 512 * MIB, 0, 0.3, 0.1, 0.41, False
    )
    return [
        first,
        replace(first, number=2, pages_written=12_044, pages_in_parent=119_028, size_bytes=12_044 * 4096),
        replace(
            first, number=3, kind=LinkKind.DUMP, pages_written=3120, pages_in_parent=127_952,
            size_bytes=3120 * 4096, stopped_us=14_230,
        ),
    ]  # fmt: skip


def trends() -> list[TargetTrend]:
    beat = np.arange(60, dtype=np.float32)
    bursts = np.where(beat % 15 < 4, 90 * MIB, 2 * MIB).astype(np.float32)
    return [
        TargetTrend(4242, "postgres", TargetState.ARMED, bursts, 512.0 * MIB, Verdict.WAIT, 0.014),
        TargetTrend(
            5000, "java", TargetState.ARMED, (30 + beat % 7) * np.float32(MIB), 7e9,
            Verdict.WILL_NOT_CONVERGE, 1.4, is_busy=True,
        ),
        TargetTrend(77, "[x[/]\x1b]0;", TargetState.GONE, beat[:0], 0.0),
    ]  # fmt: skip
