"""Children of a watched process: seen at once, and armed as the cost budget allows."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.kernel.process import child_processes, read_stat
from engine.pageset import PAGE_SHIFT
from engine.tracking import soft_dirty
from engine.tracking.cost_budget import NO_BUDGET, SETTLED_S, CostBudget
from engine.tracking.probe import probe
from engine.tracking.sample import EventKind, RateMode, Sample, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.compiled import CompiledTarget
from tests.targets.scripted import ScriptedTarget

ALIVE = 40
"""Short-lived children of a storm at any moment."""
LIFE_MS = 60


class Storm(CompiledTarget):
    """A process that forks children which live shortly, and one that stays."""

    def __init__(self) -> None:
        super().__init__("storm", str(ALIVE), str(LIFE_MS))
        self.stays = int(self.hear())


@pytest.fixture
def storm() -> Iterator[Storm]:
    with Storm() as made:
        yield made


def tracked(sample: Sample) -> set[int]:
    return {process.pid for process in sample.processes if process.is_tracked}


def texts(sample: Sample, kind: EventKind) -> list[str]:
    return [event.text for event in sample.events if event.kind is kind]


class TestStorm:
    def test_children_that_live_shortly_are_seen_and_not_armed(self, kind: TrackerKind, storm: Storm) -> None:
        with Session(storm.pid, kind) as session:
            session.set_mode(RateMode.REARMING)
            session.arm()
            sample = session.tick()
            told = texts(sample, EventKind.COST)
            # Until it is known for a storm, and who stays for one that does; and somebody of it is there.
            while tracked(sample) != {storm.pid, storm.stays} or len(sample.processes) == 2:
                sample = session.tick()
                told += texts(sample, EventKind.COST)
            assert tracked(sample) == {storm.pid, storm.stays}
            assert sample.unarmed_count == len(sample.processes) - 2 > 0
            assert any("are seen but not tracked" in text for text in told)
            for process in sample.processes:
                if not process.is_tracked:
                    assert process.totals.pending_pages == process.totals.dumpable_pages

    def test_without_a_budget_all_are_armed_that_live_for_long_enough(
        self, kind: TrackerKind, storm: Storm
    ) -> None:
        with Session(storm.pid, kind, NO_BUDGET) as session:
            session.arm()
            sample = session.tick()
            for _ in range(5):
                unarmed = {process.pid for process in sample.processes} - tracked(sample)
                sample = session.tick()
                living = {process.pid for process in sample.processes}
                assert unarmed & living <= tracked(sample)
                assert tracked(sample) >= {storm.pid, storm.stays}

    def test_a_dump_holds_them_in_full(self, kind: TrackerKind, storm: Storm, chain_directory: Path) -> None:
        with Session(storm.pid, kind) as session:
            chain = MemoryChain(session, chain_directory)
            chain.pre_dump()
            while not session.tick().unarmed_count:
                pass
            chain.pre_dump()
            result = chain.dump(After.STOP)
        images = read_chain(result.path)
        assert verify(images) == ()
        pids = images.links[-1].pids
        living = {stat.pid for stat in child_processes({storm.pid})}
        assert storm.stays in living
        assert living <= set(pids)
        for pid in pids:
            assert differences(images, pid) == []
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class TestUnarmed:
    """A child that cannot be paid for."""

    @pytest.fixture
    def session(self, kind: TrackerKind, target: ScriptedTarget) -> Iterator[Session]:
        with Session(target.pid, kind, CostBudget(0.02, 1e-9)) as opened:
            opened.arm()
            yield opened

    def fork_children(self, session: Session, target: ScriptedTarget) -> None:
        children = [target.fork() for _ in range(3)]
        assert {process.pid for process in session.tick().processes} == {target.pid, *children}

    def unarmed(self, session: Session) -> set[int]:
        """Two of the three at least: one has its turn, when it is old enough for that."""
        with session.held() as processes:
            pids = {process.identity.pid for process in processes if not process.is_tracked}
        assert len(pids) >= 2
        return pids

    def test_is_all_pending_and_saved_by_the_dump_alone(
        self, session: Session, target: ScriptedTarget, chain_directory: Path
    ) -> None:
        chain = MemoryChain(session, chain_directory)
        self.fork_children(session, target)
        first = read_chain(chain.pre_dump().path).links[-1]
        unarmed = self.unarmed(session)
        assert not unarmed & set(first.pids)
        result = chain.dump(After.STOP)
        images = read_chain(result.path)
        assert verify(images) == ()
        for pid in (target.pid, *unarmed):
            assert differences(images, pid) == []
            os.kill(pid, signal.SIGCONT)

    def test_nothing_of_it_is_ever_clean(
        self, session: Session, target: ScriptedTarget, chain_directory: Path
    ) -> None:
        self.fork_children(session, target)
        MemoryChain(session, chain_directory).dump(After.RUN)
        unarmed = self.unarmed(session)
        for process in session.tick().processes:
            if process.pid in unarmed:
                assert process.totals.pending_pages == process.totals.dumpable_pages > 0

    def test_is_armed_when_it_can_be_paid_for(self, session: Session, target: ScriptedTarget) -> None:
        self.fork_children(session, target)
        unarmed = self.unarmed(session)
        session.set_budget(NO_BUDGET)
        assert tracked(session.tick()) >= unarmed


class TestSharedMemory:
    """A child of vfork(2) has its parent's memory until it starts a program."""

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Path:
        """A child waits here, before its program."""
        os.mkfifo(tmp_path / "gate")
        return tmp_path / "gate"

    def test_it_is_left_alone_until_it_starts_a_program(
        self, kind: TrackerKind, target: ScriptedTarget, gate: Path
    ) -> None:
        command = read_stat(target.pid).command
        with Session(target.pid, kind) as session:
            session.set_mode(RateMode.REARMING)
            session.arm()
            target.fill(range(100))
            spawning = threading.Thread(target=target.spawn_sleep_behind, args=(gate,))
            spawning.start()
            while not (children := child_processes({target.pid})):
                time.sleep(0.001)
            child = children[0].pid
            sample = session.tick()
            assert [process.pid for process in sample.processes] == [target.pid]
            row = sample.processes[0].maps.index_at(target.base >> PAGE_SHIFT)
            assert row is not None
            assert sample.processes[0].written_pages[row] == 100
            sample = session.tick()
            assert not texts(sample, EventKind.FOREIGN_CLEAR)
            while time.clock_gettime(time.CLOCK_BOOTTIME) < began_s(child) + SETTLED_S:
                time.sleep(0.01)
            why = f"process {child} ({command}) shares the memory of process {target.pid}"
            assert texts(session.tick(), EventKind.UNTRACKABLE) == [why]
            assert texts(session.tick(), EventKind.UNTRACKABLE) == []
            assert [error.message for error in session.refused.values()] == [why]
            gate.write_bytes(b"")
            spawning.join()
            while child not in tracked(session.tick()):
                pass
            assert not session.refused
        os.kill(child, signal.SIGKILL)


def began_s(pid: int) -> float:
    return read_stat(pid).start_ticks / os.sysconf("SC_CLK_TCK")


def test_children_born_into_a_chain_of_crius_keep_their_bits(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRIU has begun their epoch, if it has seen them: a clear of ours would be one too many."""
    if not probe().soft_dirty.works:
        pytest.skip(probe().soft_dirty.reason)
    cleared: list[int] = []
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
        session.arm()
        session.lend_epoch(chain := object())
        monkeypatch.setattr(soft_dirty, "clear_soft_dirty", cleared.append)
        child = target.fork()
        sample = session.tick()
        assert child in tracked(sample)
        assert cleared == []
        session.take_back_epoch(chain)
