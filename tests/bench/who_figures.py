"""What it costs to know who writes, and how much of what is written is known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

from engine.attribution.watcher import NO_ATTRIBUTION_BUDGET, WriterWatch
from engine.tracking.cost_budget import NO_BUDGET
from engine.tracking.sample import RateMode
from engine.tracking.session import Session
from engine.workloads import start
from tests.bench.figure import Figure
from tests.targets.compiled import CompiledTarget

_PASSES = 40
_PAGES_A_PASS = 1500
_RUNS = 7
_FAST_PAGES = 100_000
_FAST_S = 5


def measure() -> Iterator[Figure]:
    """Every figure of who writes."""
    yield _slowdown()
    yield from _fast()


def _slowdown() -> Figure:
    """CPU time of the target for each page, with attribution and with tracking alone, in turns."""
    with CompiledTarget("five_writers") as target, ExitStack() as undo:
        session = _armed(target.pid, undo)
        more = []
        for _ in range(_RUNS):
            alone = _cpu_of_passes_s(target, session.tick)
            with WriterWatch(session, NO_ATTRIBUTION_BUDGET) as watch:
                more.append(_cpu_of_passes_s(target, watch.tick) - alone)
    value = statistics.median(more) / (_PASSES * _PAGES_A_PASS) * 1e6
    return Figure("who writes: more time of the target for a page written", value, "µs", 1.5, "lower", _RUNS)


def _cpu_of_passes_s(target: CompiledTarget, tick: object) -> float:
    assert callable(tick)
    tick()
    began_ns = _cpu_ns(target.pid)
    for _ in range(_PASSES):
        target.ask()
        tick()
    return (_cpu_ns(target.pid) - began_ns) / 1e9


def _cpu_ns(pid: int) -> int:
    """What its threads have run, by the scheduler's clock."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def _fast() -> Iterator[Figure]:
    """A target that writes a hundred thousand pages a second."""
    with (
        start("steady", cold_pages=0, hot_pages=_FAST_PAGES, pages_per_s=_FAST_PAGES) as workload,
        ExitStack() as undo,
    ):
        session = _armed(workload.pid, undo)
        watch = undo.enter_context(WriterWatch(session, NO_ATTRIBUTION_BUDGET))
        shares = []
        for _ in range(_FAST_S):
            time.sleep(1)
            watch.tick()
            shares.append(watch.cost.cpu)
        tally = watch.tally
    rate = tally.written_pages / tally.seconds
    name = f"who writes: of our CPU, at {rate:,.0f} pages/s"
    yield Figure(name, statistics.median(shares) * 100, "%", 10, "lower", _FAST_S)
    known = tally.attributed_pages / max(1, tally.written_pages) * 100
    yield Figure(
        "who writes: pages whose writer is known", known, "%", 99, "higher", 1,
        f"{tally.written_pages:,} pages, {tally.lost_faults:,} faults lost",
    )  # fmt: skip


def _armed(pid: int, undo: ExitStack) -> Session:
    session = undo.enter_context(Session(pid, None, NO_BUDGET))
    session.set_mode(RateMode.REARMING)
    session.arm()
    return session
