"""Links of our own engine: what they hold, what becomes of the target, and what a failure costs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.claim import CLEARED
from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.errors import Cancelled, LinkFailed, TargetGone
from engine.images.chain import ChainMemory, flatten, read_chain, verify
from engine.images.link import read_link
from engine.kernel.pagemap import Category, scan_knows
from engine.kernel.process import read_stat
from engine.pageset import PAGE_SHIFT
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.known import known
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.spread

_GUARD_INSTALL = 102


def _tells_guards() -> bool:
    return scan_knows() and scan_knows(Category.GUARD)


def pending(session: Session) -> int:
    return session.tick().totals.pending_pages


def test_the_first_link_holds_everything_and_the_next_what_changed(
    chain: MemoryChain, target: ScriptedTarget
) -> None:
    first = chain.pre_dump()
    assert first.pages_in_parent == 0
    assert first.pages_written >= 512
    target.fill(range(10))
    second = chain.pre_dump()
    written = read_chain(second.path).links[-1].pagemap(target.pid).present
    assert written & target.region == target.pages(range(10))
    assert second.pages_written + second.pages_in_parent >= 512
    assert [link.path.name for link in chain.links] == ["1", "2"]


@pytest.mark.skipif(not _tells_guards(), reason="the kernel does not tell guard regions (Linux 6.15)")
def test_guard_regions_are_no_memory(chain: MemoryChain, session: Session, target: ScriptedTarget) -> None:
    target.advise(target.base, 8, _GUARD_INSTALL)
    assert pending_in_region(session, target) == 512 - 8
    written = read_chain(chain.pre_dump().path).links[-1].pagemap(target.pid).present
    assert written & target.region == target.pages(range(8, 512))
    assert not any("nobody read" in said for said in chain.dump().not_held)


def pending_in_region(session: Session, target: ScriptedTarget) -> int:
    process = session.tick().processes[0]
    row = process.maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    return int(process.pending_pages[row])


def test_pending_is_everything_then_only_what_was_written(
    session: Session, chain: MemoryChain, target: ScriptedTarget
) -> None:
    assert pending_in_region(session, target) == 512
    chain.pre_dump()
    assert pending_in_region(session, target) == 0
    target.fill(range(100))
    assert pending_in_region(session, target) == 100
    chain.pre_dump()
    assert pending_in_region(session, target) == 0


def clear(session: Session) -> None:
    """As a tick does that finds a canary gone."""
    with session.held() as processes:
        next(iter(processes)).foreign_clears += 1


def test_what_ticks_have_seen_since_the_last_link_looked_is_why_the_next_is_full(
    chain: MemoryChain, session: Session
) -> None:
    chain.pre_dump()
    assert chain.why_full == ""
    clear(session)
    assert chain.why_full == CLEARED
    chain.pre_dump()
    assert chain.why_full == "", "that one looked at everything"
    clear(session)
    chain.dump()
    assert chain.why_full == "", "there is no next one"


def test_a_dump_ends_the_chain_and_is_whole(chain: MemoryChain, target: ScriptedTarget) -> None:
    chain.pre_dump()
    target.fill(range(40, 50), value=9)
    result = chain.dump(After.STOP)
    assert chain.is_ended
    assert not result.restorable
    assert any("open files" in text for text in result.not_held)
    images = read_chain(chain.directory)
    assert verify(images) == ()
    assert differences(images, target.pid) == []
    with pytest.raises(LinkFailed, match="has ended"):
        chain.pre_dump()


def test_flattening_gives_the_same_memory_without_a_parent(
    chain: MemoryChain, target: ScriptedTarget, tmp_path: Path
) -> None:
    chain.pre_dump()
    target.fill(range(3))
    chain.pre_dump()
    chain.dump(After.STOP)
    flatten(read_chain(chain.directory), tmp_path / "flat")
    flat = read_chain(tmp_path / "flat")
    assert len(flat.links) == 1
    assert verify(flat) == ()
    assert differences(flat, target.pid) == []


@pytest.mark.parametrize(("after", "state"), [(After.RUN, "RSD"), (After.STOP, "T")])
def test_the_target_runs_on_or_stays_stopped_as_asked(
    chain: MemoryChain, target: ScriptedTarget, after: After, state: str
) -> None:
    result = chain.dump(after)
    deadline = time.monotonic() + 10
    while read_stat(target.pid).state not in state:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert known(result.stopped_us) > 0
    os.kill(target.pid, signal.SIGCONT)
    target.fill([1])


@pytest.mark.parametrize("after", After)
def test_the_images_tell_how_long_the_target_was_stopped_whatever_became_of_it(
    chain: MemoryChain, after: After
) -> None:
    result = chain.dump(after)
    stats = read_link(result.path).stats
    assert stats is not None
    assert 0 < stats.frozen_us <= known(result.stopped_us)


def test_a_killed_target_is_dead_only_after_the_link_is_there(
    chain: MemoryChain, target: ScriptedTarget
) -> None:
    result = chain.dump(After.KILL)
    assert verify(read_chain(result.path)) == ()
    assert target.process.wait(timeout=10) == -signal.SIGKILL


def test_a_pre_dump_by_write_protection_never_stops_the_target(session: Session, chain: MemoryChain) -> None:
    session.tick()
    result = chain.pre_dump()
    if session.tracker is TrackerKind.WRITE_PROTECT:
        assert result.stopped_us == 0
    else:
        assert known(result.stopped_us) > 0


def test_a_page_written_during_the_copy_is_pending_again(
    session: Session, chain: MemoryChain, target: ScriptedTarget
) -> None:
    chain.pre_dump()
    target.fill([3, 4], value=7)
    wrote = threading.Event()

    def write_more(progress: LinkProgress) -> None:
        if not wrote.is_set():
            wrote.set()
            target.fill([4, 5, 6], value=8)

    chain.pre_dump(progress=write_more)
    assert wrote.is_set()
    assert pending_in_region(session, target) == 3
    chain.dump(After.STOP)
    assert differences(read_chain(chain.directory), target.pid) == []


def test_a_tree_is_saved_with_its_children_threads_and_registers(
    chain: MemoryChain, target: ScriptedTarget
) -> None:
    target.start_threads(3)
    chain.pre_dump()
    child = target.fork()
    result = chain.dump(After.STOP)
    images = read_chain(result.path)
    assert verify(images) == ()
    assert set(images.links[-1].pids) == {target.pid, child}
    for pid in (target.pid, child):
        assert differences(images, pid) == []
    cores = {path.name for path in result.path.glob("core-*.img")}
    assert {f"core-{tid}.img" for tid in os.listdir(f"/proc/{target.pid}/task")} <= cores
    os.kill(child, signal.SIGKILL)


class TestFailure:
    """Whatever fails: no link, no trace, every page pending as before, and the target runs on."""

    @staticmethod
    def assert_nothing_happened(chain: MemoryChain, target: ScriptedTarget) -> None:
        assert sorted(path.name for path in chain.directory.iterdir()) == [
            str(number) for number in range(1, len(chain.links) + 1)
        ]
        target.fill([1])

    def test_cancelling_a_pre_dump(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        chain.pre_dump()
        target.fill(range(50), value=5)
        with pytest.raises(Cancelled):
            chain.pre_dump(cancelled=lambda: True)
        self.assert_nothing_happened(chain, target)
        assert pending(session) >= 50
        chain.dump(After.STOP)
        assert differences(read_chain(chain.directory), target.pid) == []

    def test_cancelling_a_dump_leaves_the_target_running_even_if_it_was_to_be_killed(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        target.fill(range(50), value=5)
        with pytest.raises(Cancelled):
            chain.dump(After.KILL, cancelled=lambda: True)
        self.assert_nothing_happened(chain, target)
        assert not chain.is_ended
        chain.dump(After.STOP)
        assert differences(read_chain(chain.directory), target.pid) == []

    def test_a_full_disk(self, session: Session, target: ScriptedTarget, small_disk: Path) -> None:
        chain = MemoryChain(session, small_disk / "chain")
        with pytest.raises(LinkFailed, match="No space left") as caught:
            chain.pre_dump()
        assert "another directory" in caught.value.hint
        self.assert_nothing_happened(chain, target)
        assert pending(session) >= 512
        with pytest.raises(LinkFailed, match="No space left"):
            chain.dump(After.KILL)
        self.assert_nothing_happened(chain, target)

    def test_a_target_that_dies_during_the_copy(self, chain: MemoryChain, target: ScriptedTarget) -> None:
        chain.pre_dump()
        target.fill(range(512))

        def die(progress: LinkProgress) -> None:
            target.kill()

        target.map(20000)
        target.fill(range(20000), target.map(20000))
        with pytest.raises(TargetGone):
            chain.pre_dump(progress=die)
        assert [path.name for path in chain.directory.iterdir()] == ["1"]

    def test_a_directory_that_holds_images_is_not_used(self, session: Session, chain: MemoryChain) -> None:
        chain.pre_dump()
        with pytest.raises(LinkFailed, match="holds images already"):
            MemoryChain(session, chain.directory)

    def test_two_chains_of_one_session_cannot_lose_each_others_pages(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget, tmp_path: Path
    ) -> None:
        chain.pre_dump()
        target.fill(range(20), value=3)
        other = MemoryChain(session, tmp_path / "other")
        assert other.pre_dump().pages_in_parent == 0
        result = chain.pre_dump()
        assert result.pages_in_parent == 0
        assert any("full one" in note for note in result.notes)
        chain.dump(After.STOP)
        assert differences(read_chain(chain.directory), target.pid) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(where)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def test_the_memory_at_the_end_is_that_of_the_moment_of_the_dump(
    chain: MemoryChain, target: ScriptedTarget
) -> None:
    target.fill([0], value=11)
    chain.pre_dump()
    target.fill([0], value=12)
    chain.dump(After.RUN)
    target.fill([0], value=13)
    memory = ChainMemory(read_chain(chain.directory), target.pid)
    for pages, data in memory.read(target.pages([0])):
        assert pages == target.pages([0])
        assert set(bytes(data)) == {12}


def test_images_and_directories_are_private(chain: MemoryChain) -> None:
    result = chain.dump()
    assert result.path.stat().st_mode & 0o777 == 0o700
    assert chain.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in result.path.iterdir()} == {0o600}
