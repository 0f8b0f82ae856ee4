"""`dirtytop watch`: ticks as lines, for people or for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import click

from engine.errors import TargetGone
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.sample import RateMode, Sample, TrackerKind
from engine.tracking.session import Session
from engine.units import format_bytes, format_count, format_duration, format_rate
from tui.commands.arguments import PID, SECONDS, cost_budget_option, example, json_option, tracker_option
from tui.commands.interruption import Interruption
from tui.commands.output import emit, emit_json

_HEADER_EVERY: Final = 24
_HEADER: Final = (
    f"{'elapsed':>10}  {'present':>9}  {'written':>9}  {'rate':>11}  {'pages/s':>9}  "
    f"{'since armed':>11}  {'pending':>9}  {'tick':>8}  {'stopped':>8}"
)

_MODES: Final = {"cumulative": RateMode.CUMULATIVE, "rearming": RateMode.REARMING}


@click.command(
    short_help="Print what a process writes, a line a tick.",
    epilog=example(
        "ten ticks of half a second, as JSON", "dirtytop watch 1234 --interval 0.5 --count 10 --json"
    ),
)
@click.argument("pid", type=PID)
@click.option("--interval", type=SECONDS, default=1.0, show_default=True, help="Seconds between ticks.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many ticks.")
@tracker_option
@cost_budget_option
@click.option(
    "--mode",
    type=click.Choice(list(_MODES)),
    help="cumulative only reads: a page shows when first written; rearming clears with each tick, so that "
    "each shows all that was written since the last. [default: cumulative where the tracker has it]",
)
@json_option
def watch(
    pid: int,
    interval: float,
    count: int | None,
    tracker: TrackerKind | None,
    cost_budget: CostBudget | None,
    mode: str | None,
    as_json: bool,
) -> None:
    """Print what process PID and its descendants write, a line a tick.

    Ends with Ctrl-C, after --count ticks, or when the target has exited.
    """
    with Interruption() as interruption, Session(pid, tracker, cost_budget or DEFAULT_BUDGET) as session:
        if mode is not None:
            session.set_mode(_MODES[mode])
        session.arm()
        if as_json:
            ticked = follow(session, interval, count, interruption, partial(_emit_object, pid))
        else:
            emit(f"watching {pid} by {session.tracker.value}, {session.mode.value}")
            ticked = follow(session, interval, count, interruption, Lines().emit)
        if not session.is_alive:
            if not isinstance(over := session.why_over(), TargetGone):
                raise over
            if not ticked:
                raise TargetGone(f"process {pid} exited before its first tick", pid=pid)
            print(f"process {pid} has exited", file=sys.stderr if as_json else sys.stdout, flush=True)


def follow(
    session: Session,
    interval_s: float,
    count: int | None,
    interruption: Interruption,
    show: Callable[[Sample], None],
) -> int:
    """Tick on a steady clock and show each sample, until asked to end, `count` or the target's exit.

    Ticks come further apart where they would cost the target more than the session's budget.

    Returns:
        How many samples were shown.
    """
    shown = 0
    due = time.monotonic()
    while count is None or shown < count:
        due = max(due + session.paced_s(interval_s), time.monotonic())
        if interruption.wait(due - time.monotonic()):
            break
        sample = session.tick()
        if not sample.processes:
            break
        show(sample)
        shown += 1
    return shown


class Lines:
    """Samples as aligned lines, with what happened in between."""

    def __init__(self) -> None:
        self._shown = 0

    def emit(self, sample: Sample) -> None:
        """Print one sample."""
        for event in sample.events:
            emit(f"{'':10}  [{event.kind.value}] {event.pid}: {event.text}")
        if self._shown % _HEADER_EVERY == 0:
            emit(_HEADER)
        self._shown += 1
        totals, page_bytes = sample.totals, sample.page_bytes
        emit(
            f"{sample.elapsed_s:>8.1f} s  {format_bytes(totals.present_pages * page_bytes)}  "
            f"{format_bytes(totals.written_pages * page_bytes)}  {format_rate(sample.bytes_per_s)}  "
            f"{format_count(totals.pages_per_s):>9}  "
            f"{format_bytes(totals.since_armed_pages * page_bytes):>11}  "
            f"{format_bytes(totals.pending_pages * page_bytes)}  "
            f"{format_duration(sample.tick_ms / 1e3):>8}  {format_duration(sample.stopped_us / 1e6):>8}"
            f"{_about_huge_pages(sample)}"
        )


def _about_huge_pages(sample: Sample) -> str:
    if not sample.huge_inflation_pages:
        return ""
    return f"  THP: up to {sample.most_pages_per_write} pages counted for one write"


def _emit_object(pid: int, sample: Sample) -> None:
    emit_json(sample_as_json(pid, sample))


def sample_as_json(pid: int, sample: Sample) -> dict[str, Any]:
    """The stable form printed by `dirtytop watch --json`; mappings without any page are left out."""
    totals = sample.totals
    return {
        "schema": 1,
        "pid": pid,
        "tracker": sample.tracker.value,
        "mode": sample.mode.value,
        "elapsed_s": round(sample.elapsed_s, 6),
        "interval_s": round(sample.interval_s, 6),
        "tick_ms": round(sample.tick_ms, 3),
        "stopped_us": sample.stopped_us,
        "cost_fraction": round(sample.cost_fraction, 6),
        "cost_budget": sample.budget.cpu if sample.budget.is_limited else None,
        "slowed": sample.is_slowed,
        "unarmed_processes": sample.unarmed_count,
        "page_bytes": sample.page_bytes,
        "most_pages_per_write": sample.most_pages_per_write,
        "total": {
            "present_pages": totals.present_pages,
            "written_pages": totals.written_pages,
            "since_armed_pages": totals.since_armed_pages,
            "pending_pages": totals.pending_pages,
            "pages_per_s": round(totals.pages_per_s, 3),
            "huge_inflation_pages": sample.huge_inflation_pages,
        },
        "processes": [
            {
                "pid": process.pid,
                "parent_pid": process.parent_pid,
                "command": process.command,
                "tracked": process.is_tracked,
            }
            for process in sample.processes
        ],
        "vmas": [
            {
                "pid": process.pid,
                "start": vma.start,
                "end": vma.end,
                "perms": vma.perms,
                "name": vma.name,
                "present_pages": present,
                "written_pages": written,
                "since_armed_pages": since_armed,
            }
            for process in sample.processes
            for vma, present, written, since_armed in zip(
                process.maps.vmas,
                process.present_pages.tolist(),
                process.written_pages.tolist(),
                process.since_armed_pages.tolist(),
                strict=True,
            )
            if present or since_armed
        ],
        "untracked": [
            {
                "pid": process.pid,
                "start": item.start,
                "end": item.end,
                "name": item.name,
                "reason": item.reason,
            }
            for process in sample.processes
            for item in process.untracked
        ],
        "events": [
            {"kind": event.kind.value, "pid": event.pid, "text": event.text} for event in sample.events
        ],
    }
