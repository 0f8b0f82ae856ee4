"""`dirtytop who`: which code of a process writes its memory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from engine.attribution.report import By, Row, folded, hint, rows, speedscope
from engine.attribution.report import as_json as report_as_json
from engine.attribution.watcher import NO_ATTRIBUTION_BUDGET, AttributionBudget, WriterWatch
from engine.errors import TargetGone
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from engine.units import format_count
from tui.commands.arguments import PID, SECONDS, cost_budget_option, example, json_option, tracker_option
from tui.commands.interruption import Interruption
from tui.commands.output import emit, emit_json
from tui.commands.progress import ProgressLine

_SHOWN: Final = 20
_WIDTH: Final = 60
_OFF: Final = "off"


@click.command(
    short_help="Say which code of a process writes its memory.",
    epilog=example(
        "which functions, and a flame graph of them", "dirtytop who 1234 --folded /tmp/who.folded"
    ),
)
@click.argument("pid", type=PID)
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    default=By.FUNCTION.value,
    show_default=True,
    help="What rows stand for.",
)
@click.option("--interval", type=SECONDS, default=1.0, show_default=True, help="Seconds between ticks.")
@click.option(
    "--count", type=click.IntRange(min=1), default=5, show_default=True, help="Look at so many ticks."
)
@click.option(
    "--exact",
    is_flag=True,
    help="Look at each first write, whatever that costs; otherwise at one of several where all would take "
    "more than 1% of a core, or 2 µs of the target's time a page.",
)
@click.option(
    "--folded", "folded_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write stacks for flame graphs, as flamegraph.pl reads them.",
)  # fmt: skip
@click.option(
    "--speedscope", "speedscope_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the same for speedscope.app.",
)  # fmt: skip
@tracker_option
@cost_budget_option
@json_option
def who(
    pid: int,
    by: str,
    interval: float,
    count: int,
    exact: bool,
    folded_file: Path | None,
    speedscope_file: Path | None,
    tracker: TrackerKind | None,
    cost_budget: CostBudget | None,
    as_json: bool,
) -> None:
    """Say which code of process PID and its descendants writes memory, in pages.

    Each page that is written counts once a tick, for the code that wrote it first. What the kernel writes
    for the target (read(2) into a buffer, say) counts for the code that asked for it. Ctrl-C ends it with
    what has come until then.
    """
    budget = NO_ATTRIBUTION_BUDGET if exact else AttributionBudget()
    with Interruption() as interruption, Session(pid, tracker, cost_budget or DEFAULT_BUDGET) as session:
        session.set_mode(RateMode.REARMING)
        session.arm()
        with WriterWatch(session, budget) as watch:
            with ProgressLine("who") as line:
                _look(session, watch, interruption, line, interval, count)
            if not watch.tally.seconds:
                raise TargetGone(f"process {pid} exited before its first tick", pid=pid)
            if as_json:
                emit_json(report_as_json(watch, pid, By(by)))
            else:
                _print(watch, By(by))
            if folded_file is not None:
                folded_file.write_text("".join(f"{line}\n" for line in folded(watch)))
            if speedscope_file is not None:
                speedscope_file.write_text(json.dumps(speedscope(watch, f"dirtytop who {pid}")))


def _look(
    session: Session,
    watch: WriterWatch,
    interruption: Interruption,
    line: ProgressLine,
    interval_s: float,
    count: int,
) -> None:
    """Tick so often, or until it is asked to end, or the target has exited."""
    due_s = time.monotonic()
    for number in range(1, count + 1):
        due_s = max(due_s + session.paced_s(interval_s), time.monotonic())
        if interruption.wait(due_s - time.monotonic()) or not watch.tick().processes:
            break
        written = format_count(watch.tally.written_pages)
        line.say(f"tick {number} of {count}: {written} pages written")


def _print(watch: WriterWatch, by: By) -> None:
    tally, cost = watch.tally, watch.cost
    found = rows(watch, by)
    emit(f"{'pages/s':>9}  {'share':>6}  {by.value:<{_WIDTH}}  where")
    for row in found[:_SHOWN]:
        emit(_line(row, tally.seconds, tally.written_pages))
    if len(found) > _SHOWN:
        rest = Row(sum(row.pages for row in found[_SHOWN:]), f"{len(found) - _SHOWN} more")
        emit(_line(rest, tally.seconds, tally.written_pages))
    if tally.unattributed_pages:
        emit(_line(Row(tally.unattributed_pages, "unattributed"), tally.seconds, tally.written_pages))
    estimated = f", estimated from 1 in {cost.period}" if cost.period > 1 else ""
    emit(
        f"{tally.written_pages:,} pages written in {tally.seconds:.1f} s{estimated}; "
        f"it cost {cost.cpu:.1%} of a core, and the target {cost.target_s_per_page * 1e6:.1f} µs a page"
    )
    if tally.huge_pages:
        emit(f"{tally.huge_pages:,} of them came with another page of the same huge page")
    if tally.lost_faults:
        emit(f"{tally.lost_faults:,} writes came too fast to be looked at: a shorter --interval may help")
    if not watch.sees_kernel:
        emit("what the kernel writes for the target is unattributed: that takes CAP_PERFMON")
    if advice := hint(watch):
        emit(f"hint: {advice}")


def _line(row: Row, seconds: float, written_pages: int) -> str:
    name = row.name if len(row.name) <= _WIDTH else f"{row.name[: _WIDTH - 1]}…"
    share = row.pages / max(1, written_pages)
    return f"{row.pages / seconds:>9,.0f}  {share:>6.1%}  {name:<{_WIDTH}}  {row.where}".rstrip()
