"""CRIU leaves out what soft-dirty bits call clean: where these do not tell, it is asked for a full link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu import epoch
from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.link import LinkResult
from engine.errors import LinkFailed
from engine.images.chain import ChainMemory, read_chain, verify
from engine.kernel.huge_pages import pages_per_huge_page
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

PAGES = 2 * pages_per_huge_page()
_UNIT = pages_per_huge_page() * PAGE_SIZE
OLD, NEW = 9, 7


@pytest.fixture
def session(target: ScriptedTarget) -> Iterator[Session]:
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as opened:
        yield opened


@pytest.fixture
def source(target: ScriptedTarget) -> int:
    return map_aligned(target, NEW)


@pytest.fixture
def place(target: ScriptedTarget) -> int:
    return map_aligned(target, OLD)


@pytest.fixture
def chain(tracking_criu: Criu, session: Session, chain_directory: Path, source: int, place: int) -> CriuChain:
    made = CriuChain(session, chain_directory, criu=tracking_criu)
    made.pre_dump()
    return made


def map_aligned(target: ScriptedTarget, value: int) -> int:
    """Filled memory that begins where a page table does."""
    base = -(-target.map(2 * PAGES) // _UNIT) * _UNIT
    target.fill(range(PAGES), base, value)
    return base


def assert_is_full_and_right(result: LinkResult, target: ScriptedTarget, place: int) -> None:
    assert result.pages_in_parent == 0
    images = read_chain(result.path)
    assert verify(images) == ()
    for _, data in ChainMemory(images, target.pid).read(target.pages(range(PAGES), place)):
        assert set(bytes(data)) == {NEW}


def test_memory_moved_to_where_other_memory_was(
    chain: CriuChain, target: ScriptedTarget, source: int, place: int
) -> None:
    target.move(source, PAGES, place)
    result = chain.pre_dump()
    assert any("has moved memory (mremap)" in note for note in result.notes)
    assert_is_full_and_right(result, target, place)


def test_memory_moved_to_where_nothing_was(
    chain: CriuChain, target: ScriptedTarget, source: int, place: int
) -> None:
    target.unmap(place, PAGES)
    chain.pre_dump()
    target.move(source, PAGES, place)
    result = chain.pre_dump()
    assert any("clean that the last link does not hold" in note for note in result.notes)
    assert_is_full_and_right(result, target, place)


def test_memory_moved_before_another_dirtytop_goes_on(
    chain: CriuChain, tracking_criu: Criu, session: Session, target: ScriptedTarget, source: int, place: int
) -> None:
    session.close()
    target.move(source, PAGES, place)
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as other:
        result = CriuChain.go_on(other, chain.directory, criu=tracking_criu).pre_dump()
    assert any("has moved memory (mremap)" in note for note in result.notes)
    assert_is_full_and_right(result, target, place)


def test_a_link_that_fails_for_a_page_the_parent_lacks_says_what_comes_next(
    chain: CriuChain, target: ScriptedTarget, source: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is moved there in the moment between our look and CRIU's."""
    target.unmap(place, PAGES)
    chain.pre_dump()
    target.move(source, PAGES, place)
    with monkeypatch.context() as blind:
        blind.setattr(epoch, "why_not_left_out", lambda choices, parent, watch: "")
        with pytest.raises(LinkFailed, match=r"Missing .* in parent pagemap|not found in parent") as failed:
            chain.pre_dump()
    assert "the next link is a full one" in failed.value.hint
    assert_is_full_and_right(chain.pre_dump(), target, place)


@pytest.mark.usefixtures("ksm")
def test_equal_pages_that_are_merged(
    chain: CriuChain, target: ScriptedTarget, source: int, place: int
) -> None:
    target.make_mergeable(place, PAGES)
    chain.pre_dump()
    target.fill(range(PAGES), place, NEW)
    target.wait_until_merged(PAGES)
    result = chain.pre_dump()
    assert any("(KSM)" in note for note in result.notes)
    assert_is_full_and_right(result, target, place)
