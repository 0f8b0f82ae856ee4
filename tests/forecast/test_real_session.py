"""A real target that writes at a known rate, seen through a real session."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint.link import Engine
from engine.checkpoint.memory import MemoryChain
from engine.forecast.costs.calibrate import probe
from engine.forecast.costs.model import CostModel
from engine.forecast.forecaster import Forecaster
from engine.forecast.writes.expectation import CLOSE_LOOK_S
from engine.images.layout import LinkKind
from engine.tracking import probe as probing
from engine.tracking.curve import CurveKind
from engine.tracking.sample import RateMode, Sample, TrackerKind
from engine.tracking.session import Session
from engine.workloads import Workload, start

HOT_PAGES = 4096
PAGES_PER_S = 2048
"""So that it takes two seconds to come round."""
_OF_THE_INTERPRETER = 128


class Tracked:
    """A workload, its session, and the count of written pages that the workload itself gives at each tick."""

    def __init__(self, workload: Workload, session: Session) -> None:
        self.workload = workload
        self.session = session
        self.bounds: dict[float, tuple[int, int]] = {}
        """By time of tick: what had been written just before it, and just after."""

    def tick(self) -> Sample:
        before = self.workload.truth().pages_written
        sample = self.session.tick()
        self.bounds[sample.time_s] = (before, self.workload.truth().pages_written)
        return sample

    def tick_after(self, gap_s: float) -> Sample:
        """Once so much has been written as takes this long, however slow the machine is."""
        wanted = self.workload.truth().pages_written + gap_s * PAGES_PER_S
        while self.workload.truth().pages_written < wanted:
            time.sleep(0.005)
        return self.tick()


def test_the_curve_is_what_the_workload_says_that_it_wrote(kind: TrackerKind) -> None:
    with (
        start("steady", cold_pages=8192, hot_pages=HOT_PAGES, pages_per_s=PAGES_PER_S) as workload,
        Session(workload.pid, kind) as session,
    ):
        session.set_mode(RateMode.REARMING)
        session.arm()
        tracked = Tracked(workload, session)
        sample = tracked.tick()
        for gap_s in (0.5, 0.5, 1.0, 0.5, *CLOSE_LOOK_S):
            sample = tracked.tick_after(gap_s)
    assert sample.curve.kind is CurveKind.RECENT
    assert (np.diff(sample.curve.pages) >= 0).all()
    newest = tracked.bounds[sample.time_s]
    judged = 0
    for time_s, (before, after) in tracked.bounds.items():
        span_s = sample.time_s - time_s
        least = min(newest[0] - after, HOT_PAGES)
        most = min(newest[1] - before, HOT_PAGES) + _OF_THE_INTERPRETER
        if span_s > 0:
            assert least <= sample.curve.at(span_s) <= most
            judged += 1
    assert judged == 4 + len(CLOSE_LOOK_S)
    assert sample.curve.at(sample.curve.window_s) < HOT_PAGES + 8192, "what is not written does not count"


def test_the_curve_of_a_tree_holds_the_pages_of_all_its_processes(kind: TrackerKind) -> None:
    sizes = {"children": 2, "cold_pages": 256, "hot_pages": 512, "pages_per_s": 2048, "lifetime_ms": 0}
    with start("fork-tree", **sizes) as workload, Session(workload.pid, kind) as session:
        session.set_mode(RateMode.REARMING)
        session.arm()
        session.tick()
        wanted = workload.truth().pages_written + 3 * 2 * 512
        while workload.truth().pages_written < wanted:
            time.sleep(0.005)
        sample = session.tick()
    assert len(sample.processes) == 3
    assert sample.curve.pages[-1] == sum(process.curve.pages[-1] for process in sample.processes)
    assert 3 * 512 <= sample.curve.pages[-1] <= 3 * (512 + _OF_THE_INTERPRETER)


def test_without_rearming_the_curve_is_the_growth_since_armed() -> None:
    support = probing.probe().soft_dirty
    if not support.works:
        pytest.skip(f"soft-dirty: {support.reason}")
    with (
        start("steady", cold_pages=256, hot_pages=HOT_PAGES, pages_per_s=PAGES_PER_S) as workload,
        Session(workload.pid, TrackerKind.SOFT_DIRTY) as session,
    ):
        session.set_mode(RateMode.CUMULATIVE)
        session.arm()
        tracked = Tracked(workload, session)
        first = workload.truth().pages_written
        for gap_s in (0.2, 0.2, 0.2):
            sample = tracked.tick_after(gap_s)
    assert sample.curve.kind is CurveKind.GROWTH
    written = tracked.bounds[sample.time_s][1] - first
    assert 0.5 * 0.6 * PAGES_PER_S <= sample.curve.pages[-1] <= written + PAGES_PER_S


def test_links_hold_the_pages_that_were_foreseen(tmp_path: Path) -> None:
    with (
        start("steady", cold_pages=8192, hot_pages=HOT_PAGES, pages_per_s=PAGES_PER_S) as workload,
        Session(workload.pid) as session,
    ):
        session.arm()
        tracked = Tracked(workload, session)
        forecaster = Forecaster()
        for gap_s in (0.3, 0.3, 0.3, *CLOSE_LOOK_S):
            forecaster.see(tracked.tick_after(gap_s))
        newest = forecaster.looks[-1]
        costs = CostModel.first_guess(Engine.MEMORY, probe(tmp_path), newest.tick_s)
        chain = MemoryChain(session, tmp_path / "chain")
        for kind in (LinkKind.PRE_DUMP, LinkKind.PRE_DUMP, LinkKind.DUMP):
            forecaster.see(tracked.tick_after(0.1))
            foreseen = forecaster.next_link(costs, kind)
            assert foreseen is not None
            before = workload.truth().pages_written
            result = chain.pre_dump() if kind is LinkKind.PRE_DUMP else chain.dump()
            meanwhile = workload.truth().pages_written - before
            costs = costs.after(result)
            forecaster.link_made(result, time.monotonic(), foreseen)
            # What was written between the forecast and the link's look at it is all it may be off by.
            assert abs(foreseen.pages.mid - result.pages_written) <= meanwhile + _OF_THE_INTERPRETER
        assert forecaster.truth.pages.count == 3
        assert costs.dump_stop.done
