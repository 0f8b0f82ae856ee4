"""What only soft-dirty tracking has to do: read and clear in two steps, in one short stop."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.kernel.maps import Maps
from engine.kernel.pagemap import Pagemap, Regions
from engine.kernel.process import identify
from engine.kernel.stopping import StoppedProcess
from engine.pageset import PAGE_SHIFT
from engine.tracking import soft_dirty
from engine.tracking.probe import probe
from engine.tracking.residency import PageReader, SoftDirty
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.soft_dirty import SoftDirtyTracker
from tests.known import known
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(not probe().soft_dirty.works, reason=probe().soft_dirty.reason)


@pytest.fixture
def session(target: ScriptedTarget) -> Iterator[Session]:
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as made:
        yield made


@pytest.fixture
def chain(session: Session, chain_directory: Path) -> MemoryChain:
    return MemoryChain(session, chain_directory)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pids that were stopped, one for each time."""
    pids: list[int] = []

    class Counted(StoppedProcess):
        def __init__(self, pid: int) -> None:
            pids.append(pid)
            super().__init__(pid)

    monkeypatch.setattr(soft_dirty, "StoppedProcess", Counted)
    return pids


def test_bits_that_were_cleared_and_not_understood_count_as_lost(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = SoftDirtyTracker(identify(target.pid))
    tracker.arm()
    target.fill([3])

    def failing(reader: PageReader, maps: Maps) -> Callable[[], SoftDirty]:
        def fail() -> SoftDirty:
            raise MemoryError

        return fail

    with monkeypatch.context() as broken:
        broken.setattr(PageReader, "glance_at_soft_dirty", failing)
        with pytest.raises(MemoryError):
            tracker.begin_epoch()
    after = tracker.begin_epoch()
    assert after.cleared_by_others
    assert not after.written & target.region
    assert not tracker.begin_epoch().cleared_by_others
    tracker.close()


def test_what_a_loading_program_writes_is_not_taken_for_a_foreign_clear(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the map still says that there is a file, the loader has put data by the time of the pagemap."""
    base, pages = 0x1000_0000, 16
    target.map_file(base, pages, sys.executable)
    read = Pagemap.read

    def read_late(pagemap: Pagemap, ranges: Iterable[tuple[int, int]], zero_frame: int = 0) -> Regions:
        loading.setattr(Pagemap, "read", read)  # it happens once
        target.protect(base, pages, mmap.PROT_READ | mmap.PROT_WRITE)
        target.fill(range(pages), base)
        return read(pagemap, ranges, zero_frame)

    tracker = SoftDirtyTracker(identify(target.pid))
    with monkeypatch.context() as loading:
        loading.setattr(Pagemap, "read", read_late)
        tracker.arm()
    target.fill(range(pages), base, value=3)
    collected = tracker.look()
    assert target.pages(range(pages), base) <= collected.written
    assert not collected.cleared_by_others
    tracker.close()


def test_a_chain_begins_in_one_stop(chain: MemoryChain, target: ScriptedTarget, stops: list[int]) -> None:
    assert known(chain.pre_dump().stopped_us) > 0
    assert stops == [target.pid]
    target.fill([5])
    chain.pre_dump()
    assert stops == [target.pid] * 2


def test_what_was_written_before_the_first_link_does_not_count_as_written_since(
    chain: MemoryChain, session: Session, target: ScriptedTarget
) -> None:
    target.fill(range(100))
    chain.pre_dump()
    target.fill([7])
    sample = session.tick()
    row = sample.processes[0].maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    assert sample.processes[0].written_pages[row] == 1
    assert sample.processes[0].since_armed_pages[row] == 1


def test_after_its_last_link_a_target_that_runs_on_is_counted_on(
    chain: MemoryChain, session: Session, target: ScriptedTarget
) -> None:
    session.arm()
    target.fill(range(10))
    chain.pre_dump()
    target.fill([20])
    chain.dump(After.RUN)
    target.fill([21, 22])
    sample = session.tick()
    row = sample.processes[0].maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    assert sample.processes[0].since_armed_pages[row] == 13
