"""`dirtytop forecast`: what a checkpoint of a process would cost, now and after pre-dumps."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from engine.checkpoint.dumpable import choose_engine
from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import Engine
from engine.errors import TargetGone
from engine.forecast.advisor import Advice, Advisor
from engine.forecast.driver import Driver
from engine.forecast.estimate import Estimate
from engine.forecast.plans.policies import POLICIES
from engine.forecast.plans.rounds import Plan
from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.forecast.writes.rhythm import Rhythm, State
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.sample import Sample, TrackerKind
from engine.tracking.session import Session
from engine.units import (
    exact_duration,
    format_bytes,
    format_duration,
    format_rate,
    say_bytes,
    say_duration,
    say_stop,
    say_times,
)
from tui.commands.arguments import (
    DIRECTORY,
    PID,
    SECONDS,
    cost_budget_option,
    example,
    json_option,
    tracker_option,
)
from tui.commands.foreseen import Answer, fork_answer, interval_answer
from tui.commands.interruption import Interruption
from tui.commands.output import emit, emit_json
from tui.commands.waiting import estimate_as_json, prepare_to_wait, tracker_to_wait_by
from tui.commands.when_options import DURATION

_TICK_S: Final = 0.5
_AUTO: Final = "auto"
_ENGINES: Final = tuple(engine.value for engine in Engine)
_SHOWN_PLANS: Final = 6
_NOT_AT_ALL: Final = "–"


@click.command(
    short_help="Forecast what a checkpoint would cost, now and after pre-dumps.",
    epilog=example(
        "every ten seconds, for a dump that may stop it for 50 ms",
        "dirtytop forecast 1234 --stop-budget 50ms --interval 10",
    ),
)
@click.argument("pid", type=PID)
@click.option(
    "--watch", type=SECONDS, default=5.0, show_default=True, help="Seconds to watch the target first."
)
@click.option("--interval", type=SECONDS, help="Repeat the forecast every so many seconds.")
@click.option("--count", type=click.IntRange(min=1), help="With --interval: end after so many forecasts.")
@click.option(
    "--stop-budget",
    "budget",
    type=DURATION,
    default=STOP_BUDGET_S,
    show_default=exact_duration(STOP_BUDGET_S),
    help="How long the target may be stopped.",
)
@click.option("--budget", "old_budget", type=DURATION, hidden=True)
@click.option(
    "--dir",
    "directory",
    type=DIRECTORY,
    help="Where the links would go; only its file system matters. By default, where temporary files are.",
)
@click.option(
    "--engine",
    type=click.Choice([_AUTO, *_ENGINES]),
    default=_AUTO,
    show_default=True,
    help="What would make the links; auto is what `checkpoint` would take.",
)
@click.option(
    "--fork",
    "fork_s",
    type=DURATION,
    help="Foresee instead what a snapshot by fork needs that takes so long, as in 30s: memory for the pages "
    "written meanwhile. Looks for as long, unless --watch is given.",
)
@click.option(
    "--mtbf",
    "mtbf_s",
    type=DURATION,
    help="Foresee instead how often to dump a program that fails so often on average, as in 24h.",
)
@click.option(
    "--policy",
    type=click.Choice(list(POLICIES), case_sensitive=False),
    help="Mark what this policy of another tool would do, instead of our advice.",
)
@tracker_option
@cost_budget_option
@json_option
def forecast(
    pid: int,
    watch: float,
    interval: float | None,
    count: int | None,
    budget: float,
    old_budget: float | None,
    directory: Path | None,
    engine: str,
    fork_s: float | None,
    mtbf_s: float | None,
    policy: str | None,
    tracker: TrackerKind | None,
    cost_budget: CostBudget | None,
    as_json: bool,
) -> None:
    """Forecast what a checkpoint of process PID and its descendants would cost. Nothing is dumped.

    Watches for some seconds what the target writes, measures how fast the directory's file system takes
    memory, and gives advice: dump now, pre-dump first, wait, or that pre-dumps would not converge.
    """
    if fork_s is not None and mtbf_s is not None:
        raise click.UsageError("--fork and --mtbf are two questions: ask one", click.get_current_context())
    context = click.get_current_context()
    if fork_s is not None and context.get_parameter_source("watch") is ParameterSource.DEFAULT:
        watch = max(watch, fork_s)
    makers = choose_engine(pid).engine if engine == _AUTO else Engine(engine)
    can_pre_dump = kind_of(makers).can_pre_dump()
    advisor = Advisor(budget_s=budget if old_budget is None else old_budget)
    how = tracker or tracker_to_wait_by()
    with Interruption() as interruption, Session(pid, how, cost_budget or DEFAULT_BUDGET) as session:
        prepare_to_wait(session)
        # Asked for nothing, it measures where `dirtytop demo` and most scripts put what is temporary.
        place = directory or Path(tempfile.gettempdir())
        advisor.calibrate(place, makers, can_pre_dump=can_pre_dump, cancelled=interruption.has_come)
        for number in range(count or (1 if interval is None else 2**31)):
            span_s = watch if number == 0 or interval is None else interval
            driver = Driver(session, advisor, min(_TICK_S, span_s / 4))
            found = _look(pid, driver, advisor, span_s, interruption)
            if found is None:
                return
            sample, advice = found
            if answer := _other_answer(pid, advisor, fork_s, mtbf_s):
                if as_json:
                    emit_json({"schema": 1, "pid": pid} | answer.as_json)
                else:
                    emit(answer.text)
            elif as_json:
                emit_json(forecast_as_json(pid, sample, advice, policy))
            else:
                emit("\n".join([""] * (number > 0) + describe(pid, sample, advice, policy)))


def _other_answer(pid: int, advisor: Advisor, fork_s: float | None, mtbf_s: float | None) -> Answer | None:
    """The answer to another question than what a checkpoint would cost, if one was asked."""
    if fork_s is not None:
        return fork_answer(pid, advisor, fork_s)
    return interval_answer(pid, advisor, mtbf_s) if mtbf_s is not None else None


def _look(
    pid: int, driver: Driver, advisor: Advisor, span_s: float, interruption: Interruption
) -> tuple[Sample, Advice] | None:
    """Tick for so long, and to the end of a close look; what the last tick says, or None if asked to end."""
    end_s = time.monotonic() + span_s
    for tick in driver.ticks(interruption.wait):
        if not tick.sample.processes:
            raise TargetGone(f"process {pid} has exited", pid=pid)
        # Advice that is rough asks for a close look, which is worth waiting for.
        if time.monotonic() >= end_s and tick.advice is not None and not advisor.is_looking_closely:
            return tick.sample, tick.advice
    return None


def describe(pid: int, sample: Sample, advice: Advice, policy: str | None) -> list[str]:
    """The forecast in lines: the verdict first, then a table of plans."""
    found = advice.forecast
    pending = say_bytes(sample.totals.dumpable_pages * sample.page_bytes)
    lines = [
        f"{pid} ({sample.processes[0].command}): {pending} to save, {_rhythm(advice.rhythm, sample)}",
        found.text,
    ]
    if not found.plans:
        return lines
    lines.append("")
    lines.append(
        f"  {'pre-dumps':>9}  {'first link':>10}  {'at the end':>10}  {'all links':>10}  {'takes':>8}  "
        f"{'target stops':>12}  range"
    )
    marked, whose = _marked(advice, policy)
    for plan in found.plans[: max(_SHOWN_PLANS, marked + 1)]:
        lines.append(("▸ " if plan.pre_dumps == marked else "  ") + _row(plan))
    lines.append(f"▸ {whose}")
    lines += [
        f"  {name} would pre-dump {say_times(made)}"
        + (f": {say_stop(found.plans[made].stopped_s.mid)}" if made < len(found.plans) else "")
        for name, made in found.others
        if name != policy
    ]
    if found.is_rough:
        lines.append("rough: links would take less time than lay between any two looks at this target")
    return lines


def _marked(advice: Advice, policy: str | None) -> tuple[int, str]:
    """Which plan is marked, and why."""
    found = advice.forecast
    if policy is not None:
        return dict(found.others).get(policy, 0), f"as {policy} would"
    return found.best_pre_dumps, f"the fewest pre-dumps that meet {say_duration(found.budget_s)}" if (
        found.meets_budget
    ) else "the shortest stop there is"


def _row(plan: Plan) -> str:
    first = plan.links[0].size_bytes.mid if plan.pre_dumps else None
    stop = plan.stopped_s
    return (
        f"{plan.pre_dumps:>9}  {_NOT_AT_ALL if first is None else format_bytes(first):>10}  "
        f"{format_bytes(plan.dump.size_bytes.mid):>10}  {format_bytes(plan.size_bytes.mid):>10}  "
        f"{format_duration(plan.seconds.mid):>8}  {format_duration(stop.mid):>12}  "
        f"{format_duration(stop.low).strip()} to {format_duration(stop.high).strip()}"
    )


def _rhythm(rhythm: Rhythm, sample: Sample) -> str:
    rate = format_rate(rhythm.pages_per_s * sample.page_bytes).strip()
    if rhythm.state is State.UNKNOWN:
        return f"writes {rate}"
    text = f"{rhythm.state.value} at {rate}"
    left = rhythm.remaining_s
    return text if left is None else f"{text}, for some {say_duration(left.mid)} more"


def forecast_as_json(pid: int, sample: Sample, advice: Advice, policy: str | None = None) -> dict[str, Any]:
    """The stable form printed by `dirtytop forecast --json`."""
    found, rhythm = advice.forecast, advice.rhythm
    return {
        "schema": 1,
        "pid": pid,
        "tracker": sample.tracker.value,
        "verdict": found.verdict.value,
        "text": found.text,
        "budget_s": found.budget_s,
        "meets_budget": found.meets_budget,
        "pre_dumps": _marked(advice, policy)[0] if found.plans else None,
        "converges": found.converges,
        "is_rough": found.is_rough,
        "state": rhythm.state.value,
        "pages_per_s": round(rhythm.pages_per_s, 3),
        "written_bytes_per_s": round(found.written_bytes_per_s),
        "drain_bytes_per_s": round(found.drain_bytes_per_s),
        "lull_in_s": found.lull_in_s,
        "plans": [
            {
                "pre_dumps": plan.pre_dumps,
                "seconds": estimate_as_json(plan.seconds),
                "stop_s": estimate_as_json(plan.stopped_s),
                "bytes": _whole(plan.size_bytes),
                "links": [
                    {"kind": link.kind.value, "bytes": _whole(link.size_bytes), "seconds": link.seconds.mid}
                    for link in plan.links
                ],
            }
            for plan in found.plans
        ],
        "policies": dict(found.others),
    }


def _whole(estimate: Estimate) -> dict[str, int]:
    return {name: round(getattr(estimate, name)) for name in ("low", "mid", "high")}
