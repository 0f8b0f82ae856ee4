"""What several processes of a tree have in common is written once, and nobody gets anything but his own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.checkpoint import common_pages
from engine.checkpoint.common_pages import CommonPages, find_common
from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.errors import Cancelled, LinkFailed
from engine.images.chain import flatten, read_chain, verify
from engine.images.writer import LinkWriter
from engine.pageset import PAGE_SIZE, PageSet
from engine.tracking.cost_budget import NO_BUDGET
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.tracked_process import LinkPlan
from tests.checkpoint.comparing import differences
from tests.checkpoint.test_sharing import SharingTree
from tests.targets.frames import are_told
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(not are_told(), reason="frame numbers need CAP_SYS_ADMIN")

_PAGES = 4096
_BYTES = _PAGES * PAGE_SIZE
_OWN_BYTES = 8 << 20
"""More than a tree of interpreters has besides."""


@pytest.fixture
def tree(request: pytest.FixtureRequest, target: ScriptedTarget) -> SharingTree:
    return SharingTree(target, written_by_each=getattr(request, "param", 0))


from_the_parent = pytest.mark.parametrize("tree", [_PAGES // 4], ids=["children write"], indirect=True)
"""The parent has most in common: with each child what this one has not written. Else all have as much."""


@pytest.fixture
def session(kind: TrackerKind, tree: SharingTree) -> Iterator[Session]:
    with Session(tree.target.pid, kind, NO_BUDGET) as opened:
        opened.arm()
        yield opened


@pytest.fixture
def chain(session: Session, chain_directory: Path) -> MemoryChain:
    return MemoryChain(session, chain_directory)


def assert_right(chain: MemoryChain, tree: SharingTree) -> None:
    """The chain has ended with a dump that left the tree stopped."""
    images = read_chain(chain.directory)
    assert verify(images) == ()
    assert {pid: differences(images, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}
    assert [(info.pages_written, info.pages_in_parent, info.size_bytes) for info in images.infos()] == [
        (link.pages_written, link.pages_in_parent, link.size_bytes) for link in chain.links
    ]


# -- written once


def test_a_pre_dump_writes_what_is_shared_once(tree: SharingTree, chain: MemoryChain) -> None:
    first = chain.pre_dump()
    assert _BYTES < first.size_bytes < _BYTES + _OWN_BYTES
    assert sorted(os.listdir(chain.directory)) == ["1", "1.common"]
    assert os.readlink(first.path / "parent") == "../1.common"
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_a_dump_alone_copies_and_writes_it_once(tree: SharingTree, chain: MemoryChain) -> None:
    last = chain.dump(After.STOP)
    assert _BYTES < last.size_bytes < _BYTES + _OWN_BYTES
    assert_right(chain, tree)


def test_what_a_process_has_written_since_the_fork_is_its_own(tree: SharingTree, chain: MemoryChain) -> None:
    tree.target.fill(range(0, _PAGES, 3), tree.base, 77)
    chain.pre_dump()
    tree.target.fill(range(0, _PAGES, 7), tree.base, 78)
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_a_flattened_chain_holds_the_same(tree: SharingTree, chain: MemoryChain, tmp_path: Path) -> None:
    chain.pre_dump()
    tree.target.fill(range(0, _PAGES, 7), tree.base, 78)
    chain.dump(After.STOP)
    flatten(read_chain(chain.directory), tmp_path / "flat")
    flat = read_chain(tmp_path / "flat")
    assert verify(flat) == ()
    assert {pid: differences(flat, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}


def test_children_born_since_the_last_link_share_with_each_other(
    tree: SharingTree, chain: MemoryChain
) -> None:
    chain.pre_dump()
    tree.target.fill(range(0, _PAGES, 2), tree.base, 50)
    chain.pre_dump()
    tree.pids += [tree.target.fork() for _ in range(3)]
    third = chain.pre_dump()
    assert third.size_bytes < _BYTES + _OWN_BYTES
    tree.target.fill(range(0, _PAGES, 5), tree.base, 51)
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_a_process_alone_has_nothing_in_common(
    kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
) -> None:
    target.touch(target.map(_PAGES), _PAGES)
    with Session(target.pid, kind, NO_BUDGET) as session:
        session.arm()
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        assert os.listdir(chain.directory) == ["1"]


def test_who_may_not_know_frames_writes_everything_for_everybody(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_pages, "find_zero_frame", lambda: 0)
    first = chain.pre_dump()
    assert first.size_bytes > len(tree.pids) * _BYTES
    chain.dump(After.STOP)
    assert_right(chain, tree)


# -- while the tree runs


def while_it_is_read(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[CommonPages], None]
) -> list[CommonPages]:
    """Have something happen after it was found out what is in common, and before it is read."""
    found: list[CommonPages] = []

    def find(plans: object) -> tuple[CommonPages, ...]:
        commons = find_common(plans)  # type: ignore[arg-type]
        for common in commons:
            found.append(common)
            happens(common)
        return commons

    monkeypatch.setattr("engine.checkpoint.common_link.find_common", find)
    return found


@from_the_parent
def test_a_page_that_its_source_writes_before_it_is_read_is_the_sources_alone(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent is the only one who obeys."""
    found = while_it_is_read(monkeypatch, lambda common: tree.target.fill(range(0, _PAGES, 4), tree.base, 90))
    chain.pre_dump()
    assert [common.source.identity.pid for common in found] == [tree.target.pid]
    chain.dump(After.STOP)
    assert_right(chain, tree)


@from_the_parent
def test_a_source_that_gives_its_memory_up_before_it_is_read_takes_it_from_nobody(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = tree.base + 100 * PAGE_SIZE
    found = while_it_is_read(monkeypatch, lambda common: tree.target.discard(given_up, 2000))
    chain.pre_dump()
    assert [common.source.identity.pid for common in found] == [tree.target.pid]
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_of_a_child_that_exits_meanwhile_the_others_have_what_is_theirs(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tree.pids.pop()
    while_it_is_read(monkeypatch, lambda common: tree.target.end_child(gone))
    chain.pre_dump()
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_a_source_that_exits_before_it_is_read_takes_nothing_from_the_others(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.target.fill(range(_PAGES), tree.base, 91)  # so that only the children have anything in common

    def end(common: CommonPages) -> None:
        assert common.source.identity.pid != tree.target.pid
        tree.target.end_child(common.source.identity.pid)
        tree.pids.remove(common.source.identity.pid)

    while_it_is_read(monkeypatch, end)
    assert any("exited meanwhile" in note for note in chain.pre_dump().notes)
    chain.dump(After.STOP)
    assert_right(chain, tree)


# -- there or not


def failing(progress: LinkProgress) -> None:
    if progress.stage == "syncing":
        raise LinkFailed("the disk is full")


def test_of_a_link_that_fails_nothing_is_left(tree: SharingTree, chain: MemoryChain) -> None:
    with pytest.raises(LinkFailed):
        chain.pre_dump(failing)
    assert os.listdir(chain.directory) == []
    with pytest.raises(Cancelled):
        chain.pre_dump(cancelled=lambda: True)
    assert os.listdir(chain.directory) == []
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_of_a_link_that_fails_at_the_last_moment_nothing_is_left(
    tree: SharingTree, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = LinkWriter.commit

    def commit_the_first(writer: LinkWriter, *arguments: object) -> object:
        if writer.path.name == "1":
            raise LinkFailed("the disk is full")
        return commit(writer, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(LinkWriter, "commit", commit_the_first)
        with pytest.raises(LinkFailed):
            chain.pre_dump()
    assert os.listdir(chain.directory) == []
    chain.pre_dump()
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_what_a_kill_has_left_without_its_link_is_replaced(
    tree: SharingTree, chain: MemoryChain, chain_directory: Path
) -> None:
    chain.pre_dump()
    shutil.copytree(chain_directory / "1.common", chain_directory / "2.common")
    tree.pids += [tree.target.fork() for _ in range(2)]
    second = chain.pre_dump()
    assert second.pages_in_parent, second.notes
    assert os.readlink(chain_directory / "2.common" / "parent") == "../1"
    assert os.readlink(second.path / "parent") == "../2.common"
    chain.dump(After.STOP)
    assert_right(chain, tree)


def test_what_somebody_else_has_put_there_is_not_removed(
    tree: SharingTree, chain: MemoryChain, chain_directory: Path
) -> None:
    (chain_directory / "1.common").mkdir(mode=0o700)
    (chain_directory / "1.common" / "letters").write_text("mine")
    with pytest.raises(LinkFailed, match=r"1\.common is in the way"):
        chain.pre_dump()
    assert (chain_directory / "1.common" / "letters").read_text() == "mine"


def test_a_part_that_was_changed_is_not_built_upon(tree: SharingTree, chain: MemoryChain) -> None:
    first = chain.pre_dump()
    next((chain.directory / "1.common").glob("pages-*.img")).touch()
    second = chain.pre_dump()
    assert second.pages_in_parent == 0
    assert "1.common was changed" in second.notes[0]
    assert first.size_bytes // 2 < second.size_bytes
    chain.dump(After.STOP)
    images = read_chain(chain.directory)
    assert {pid: differences(images, pid) for pid in tree.pids} == {pid: [] for pid in tree.pids}


# -- what is found


def test_nobody_takes_part_who_leaves_more_to_the_link_before_than_he_has_in_common(
    session: Session, tree: SharingTree
) -> None:
    with session.held() as processes:
        plans = {process: process.plan_link() for process in processes}
    parent, first, second, third = plans
    region = tree.target.pages(range(_PAGES), tree.base)
    few = tree.target.pages(range(100), tree.base)
    plans[first] = LinkPlan(plans[first].maps, few, region - few)
    plans[second] = LinkPlan(plans[second].maps, plans[second].needed - few, few)
    (common,) = find_common(plans)
    assert first not in common.others
    assert {parent, second, third} == {common.source, *common.others}
    assert common.pages.isdisjoint(few)
    assert region - few <= common.pages
    for process, pages in common.others.items():
        assert pages <= plans[process].needed
    assert PageSet.union_all(common.others.values()) == common.pages
