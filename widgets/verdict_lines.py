"""What the verdict panel says in lines: the plan, what came of forecasts, how near a trigger is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import Plan
from engine.forecast.plans.truth import Outcome
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.triggers.progress import TriggerProgress
from engine.images.layout import LinkKind
from engine.units import say_bytes, say_duration, say_stop
from widgets.blocks import Block
from widgets.columns import Span

LABEL: Final = "verdict-panel--label"
FIGURE: Final = "verdict-panel--figure"
TRIGGER: Final = "verdict-panel--trigger"
"""Component classes of `VerdictPanel`."""
_BAR_CELLS: Final = 24
_PRESENT_CELLS: Final = 12


def advised(forecast: Forecast) -> Plan:
    """The plan that the verdict is about."""
    if forecast.verdict is Verdict.WAIT and forecast.in_lull is not None:
        return forecast.in_lull
    return forecast.best


def range_of(estimate: Estimate) -> str:
    """As in "9.8 ms to 21 ms"."""
    return f"{say_duration(estimate.low)} to {say_duration(estimate.high)}"


def figure(digits: Sequence[str], about: str, unit: str, style: str) -> Block:
    """A figure in large letters; beside it what it is, at the top, and its unit, at the bottom."""
    length = len(digits[0]) + 1 + max(len(about), len(unit))
    lines = [[Span(line, style)] for line in digits]
    lines[0].append(Span(f" {about}", LABEL))
    lines[-1].append(Span(f" {unit}", style))
    return lines, length


def gauge_line(gauge: TriggerProgress, width: int) -> list[Span]:
    """As in "stop 80 ms  ███████░░░░░  < 50 ms"."""
    cells = max(4, min(_BAR_CELLS, width - len(gauge.present) - len(gauge.wanted) - 4))
    full = int(gauge.fraction * cells)
    return [
        Span(f"{gauge.present:<{_PRESENT_CELLS}}  "),
        Span("█" * full, TRIGGER),
        Span("░" * (cells - full), LABEL),
        Span(f"  {gauge.wanted}", LABEL),
    ]


def plan_lines(forecast: Forecast) -> list[list[Span]]:
    """Each link of the plan, aligned; and what a dump at once would cost, if that is not the plan."""
    plan = advised(forecast)
    lines = []
    if plan.pre_dumps:
        for number, link in enumerate(plan.links, 1):
            is_dump = link.kind is LinkKind.DUMP
            stop = say_stop(link.stopped_s.mid) if is_dump else ""
            name = "■ dump" if is_dump else f"{number} pre-dump"
            lines.append(
                [
                    Span(f"{name:<12}", LABEL),
                    Span(f"{say_bytes(link.size_bytes.mid):>10}"),
                    Span(f"{say_duration(link.seconds.mid):>8}  {stop}", LABEL),
                ]
            )
        now = forecast.now
        at_once = f"{'at once':<12}{say_bytes(now.size_bytes.mid):>10}{say_duration(now.seconds.mid):>8}"
        lines.append([Span(f"{at_once}  {say_stop(now.stopped_s.mid)}", LABEL)])
    return lines


def outcome_line(outcome: Outcome) -> list[Span]:
    """A link as it was foreseen and as it came."""
    sign = "■" if outcome.kind is LinkKind.DUMP else "•"
    each = outcome.foreseen.page_bytes
    said = f"{sign} said {say_bytes(outcome.foreseen.size_bytes.mid)}, was {say_bytes(outcome.pages * each)}"
    if outcome.kind is LinkKind.DUMP:
        foreseen, was = outcome.foreseen.stopped_s.mid, outcome.stopped_s
        said += f"; stop {say_duration(foreseen)}, was {say_duration(was)}"
    return [Span(said, LABEL)]
