"""A tracked process hands its curve on, whatever kind of ticks it is given. The tracker is a made-up one:
not every kernel has one that can be read without re-arming."""

from __future__ import annotations

from itertools import count

from engine.kernel.maps import read_maps
from engine.kernel.process import read_stat
from engine.pageset import EMPTY, PageSet
from engine.tracking.abilities import Abilities
from engine.tracking.canary import Canary
from engine.tracking.curve import CurveKind
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.tracker import Collected
from engine.tracking.trackers import abilities_of
from tests.targets.scripted import ScriptedTarget


class ToldTracker:
    """Reports what it was told had been written."""

    abilities: Abilities = abilities_of(TrackerKind.SOFT_DIRTY)
    stopped_to_attach_us = 0
    canary: Canary | None = None

    def __init__(self, pid: int) -> None:
        self._maps = read_maps(pid)
        self.written = EMPTY

    def glance(self) -> Collected:
        return Collected(self._maps, self.written)

    look = last = glance

    def tick(self) -> Collected:
        written, self.written = self.written, EMPTY
        return Collected(self._maps, written, begins_epoch=True)

    arm = arm_stopped = tick_exactly = begin_epoch = tick

    def adopt_canary(self, canary: Canary) -> bool:
        return False

    def follow_epoch(self, canary: Canary | None) -> None:
        pass

    def close(self) -> None:
        pass


def test_the_kind_of_curve_follows_the_kind_of_tick(target: ScriptedTarget) -> None:
    tracker = ToldTracker(target.pid)
    process = TrackedProcess(read_stat(target.pid))
    process.attach(tracker)
    process.arm()

    seconds = count(10**9)

    def ticked(pages: PageSet, mode: RateMode) -> tuple[CurveKind, int]:
        tracker.written |= pages
        curve = process.tick(float(next(seconds)), mode).curve
        return curve.kind, int(curve.pages[-1])

    first, second = target.pages(range(30)), target.pages(range(20, 50))
    assert ticked(first, RateMode.REARMING) == (CurveKind.RECENT, 30)
    assert ticked(second, RateMode.REARMING) == (CurveKind.RECENT, 50)
    assert ticked(first, RateMode.CUMULATIVE) == (CurveKind.GROWTH, 30)
    assert ticked(second, RateMode.CUMULATIVE) == (CurveKind.GROWTH, 50)
    assert ticked(first, RateMode.CUMULATIVE) == (CurveKind.GROWTH, 50)
    assert ticked(EMPTY, RateMode.REARMING) == (CurveKind.RECENT, 50)
    process.close()


def test_what_was_given_back_to_the_system_does_not_count(target: ScriptedTarget) -> None:
    tracker = ToldTracker(target.pid)
    process = TrackedProcess(read_stat(target.pid))
    process.attach(tracker)
    process.arm()
    tracker.written = target.region
    assert process.tick(1e9, RateMode.REARMING).curve.pages[-1] == target.region.count
    target.discard(target.base, 100)
    assert process.tick(1e9 + 1, RateMode.REARMING).curve.pages[-1] == target.region.count - 100
    process.close()
