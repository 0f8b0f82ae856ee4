"""What a tree of processes shares copy-on-write it still shares after links were made of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.kernel.process import read_stat
from engine.pageset import PAGE_SIZE
from engine.tracking.cost_budget import NO_BUDGET
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.frames import are_told, frames, pss_kib
from tests.targets.memory_cgroup import memory_cgroup
from tests.targets.scripted import ScriptedTarget

_PAGES = 4096
_CHILDREN = 3
_SOME_KIB = _PAGES * PAGE_SIZE // 1024 // 8
"""What the tree's own doings may add."""


class SharingTree:
    """A parent, and children that have all of its memory too, but for what each has written of it."""

    def __init__(self, target: ScriptedTarget, *, written_by_each: int = 0) -> None:
        """Fork the children.

        Args:
            target: who becomes the parent.
            written_by_each: how many pages a child writes; no two write the same ones.
        """
        self.target = target
        self.base = target.map(_PAGES)
        for value in range(16):
            target.fill(range(value, _PAGES, 16), self.base, value + 1)
        firsts = (self.base + number * written_by_each * PAGE_SIZE for number in range(_CHILDREN))
        self.pids = [target.pid, *(target.fork_writing(first, written_by_each) for first in firsts)]

    def frames(self) -> list[list[int]]:
        return [frames(pid, self.base, _PAGES).tolist() for pid in self.pids]

    def pss_kib(self) -> int:
        return pss_kib(*self.pids)


@pytest.fixture
def tree(target: ScriptedTarget) -> SharingTree:
    return SharingTree(target)


@pytest.fixture
def chain(kind: TrackerKind, tree: SharingTree, chain_directory: Path) -> Iterator[MemoryChain]:
    with Session(tree.target.pid, kind, NO_BUDGET) as session:
        session.arm()
        yield MemoryChain(session, chain_directory)


needs_frames = pytest.mark.skipif(not are_told(), reason="frame numbers need CAP_SYS_ADMIN")


@needs_frames
def test_links_move_no_page_and_hold_all_of_them(tree: SharingTree, chain: MemoryChain) -> None:
    before, shared_kib = tree.frames(), tree.pss_kib()
    chain.pre_dump()
    assert tree.frames() == before
    tree.target.fill(range(0, _PAGES, 5), tree.base, 99)
    before = tree.frames()
    chain.pre_dump()
    tree.target.fill(range(0, _PAGES, 50), tree.base, 98)
    chain.dump(After.STOP)
    assert tree.frames() == before
    written_kib = len(range(0, _PAGES, 5)) * PAGE_SIZE // 1024
    assert tree.pss_kib() < shared_kib + written_kib + _SOME_KIB
    images = read_chain(chain.directory)
    assert verify(images) == ()
    assert {pid: differences(images, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}


@needs_frames
def test_a_dump_alone_moves_no_page(tree: SharingTree, chain: MemoryChain) -> None:
    before = tree.frames()
    chain.dump(After.STOP)
    assert tree.frames() == before
    images = read_chain(chain.directory)
    assert {pid: differences(images, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}


@needs_frames
def test_a_dump_that_does_not_fit_into_memory_moves_no_page(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.checkpoint.copy_buffer.most_bytes", lambda: 4 * PAGE_SIZE)
    chain.freeze_timeout_s = 1000.0  # an emulated CPU is no faster
    before = tree.frames()
    assert "more was pending than fits" in chain.dump(After.STOP).notes[0]
    assert tree.frames() == before
    images = read_chain(chain.directory)
    assert {pid: differences(images, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}


def test_nobody_is_killed_in_a_cgroup_that_has_room_for_what_is_shared(
    kind: TrackerKind, chain_directory: Path
) -> None:
    room_bytes = 2 * _PAGES * PAGE_SIZE + (24 << 20)
    with memory_cgroup(room_bytes) as cgroup, ScriptedTarget(pages=16) as target:
        cgroup.take(target.pid)
        tree = SharingTree(target)
        with Session(target.pid, kind, NO_BUDGET) as session:
            session.arm()
            chain = MemoryChain(session, chain_directory)
            chain.pre_dump()
            chain.dump(After.RUN)
        assert cgroup.killed == 0
        assert all(not read_stat(pid).is_dead for pid in tree.pids)
        for child in tree.pids[1:]:
            target.end_child(child)
        target.kill()


def test_a_child_born_while_a_pre_dump_copies_shares_nearly_all_of_its_parents_memory(
    kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
) -> None:
    """All but what was being read at that moment."""
    base = target.map(_PAGES)
    target.fill(range(_PAGES), base, 5)
    born: list[int] = []
    with Session(target.pid, kind, NO_BUDGET) as session:
        session.arm()

        def fork_once(progress: object) -> None:
            if not born:
                born.append(target.fork())

        MemoryChain(session, chain_directory).pre_dump(fork_once)
        both = [frames(pid, base, _PAGES) for pid in (target.pid, *born)]
    if are_told():
        assert (both[0] == both[1]).all()
    os.kill(born[0], 0)
