"""Memory that becomes other memory without being written: no image takes the old for the new."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoint.link import LinkProgress, Progress
from engine.checkpoint.memory import MemoryChain
from engine.kernel.huge_pages import pages_per_huge_page
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import assert_the_end_is_right
from tests.targets.scripted import ScriptedTarget

OLD, NEW = 9, 7


def map_aligned(target: ScriptedTarget, pages: int, value: int, *, huge: bool = False) -> int:
    """Filled memory that begins where a huge page can."""
    unit = pages_per_huge_page() * PAGE_SIZE
    made = target.map(pages + 2 * pages_per_huge_page(), huge=huge)
    base = -(-made // unit) * unit
    target.fill(range(pages), base, value)
    return base


def once_copied(act: Callable[[], None]) -> Progress:
    """Does it while a pre-dump is made, after all pages were copied."""

    def progress(now: LinkProgress) -> None:
        if now.stage == "syncing":
            act()

    return progress


class TestOtherMemoryInTheSamePlace:
    """Small and large, mapped anew or moved there, before a look or while a link is made."""

    def map_anew(self, target: ScriptedTarget, base: int, pages: int) -> None:
        target.unmap(base, pages)
        target.map_at(base, pages)
        target.fill(range(pages), base, NEW)

    def map_anew_beside(self, target: ScriptedTarget, base: int, pages: int) -> None:
        """The new mapping is joined to an older one, which the kernel may then say is not new."""
        target.unmap(base, pages)
        target.map_at(base, pages)
        target.fill(range(pages), base, NEW)
        older = base - pages_per_huge_page() * PAGE_SIZE
        target.protect(older, pages_per_huge_page(), mmap.PROT_READ)
        target.protect(older, pages_per_huge_page(), mmap.PROT_READ | mmap.PROT_WRITE)

    def move_there(self, target: ScriptedTarget, base: int, pages: int) -> None:
        """By whole page tables where it is large and so aligned."""
        target.move(self.source, pages, base)

    def unmap_and_move_there(self, target: ScriptedTarget, base: int, pages: int) -> None:
        target.unmap(base, pages)
        target.move(self.source, pages, base)

    @pytest.fixture(params=["map_anew", "map_anew_beside", "move_there", "unmap_and_move_there"])
    def how(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(params=[16, 1024], ids=["small", "large"])
    def place(self, request: pytest.FixtureRequest, target: ScriptedTarget) -> tuple[int, int]:
        pages: int = request.param
        self.source = map_aligned(target, pages, NEW)
        beside = map_aligned(target, pages_per_huge_page() + pages, OLD)
        return beside + pages_per_huge_page() * PAGE_SIZE, pages

    def test_between_two_links(
        self, chain: MemoryChain, target: ScriptedTarget, how: str, place: tuple[int, int]
    ) -> None:
        chain.pre_dump()
        getattr(self, how)(target, *place)
        assert_the_end_is_right(chain, target)

    def test_between_two_links_with_a_tick_that_does_not_see_it(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget, how: str, place: tuple[int, int]
    ) -> None:
        session.set_mode(RateMode.REARMING)
        chain.pre_dump()
        getattr(self, how)(target, *place)
        session.tick()
        assert_the_end_is_right(chain, target)

    def test_while_a_link_is_made_after_it_was_copied(
        self, chain: MemoryChain, target: ScriptedTarget, how: str, place: tuple[int, int]
    ) -> None:
        chain.pre_dump(progress=once_copied(lambda: getattr(self, how)(target, *place)))
        assert_the_end_is_right(chain, target)

    def test_while_a_link_is_made_and_ticks_see_the_gap(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget, place: tuple[int, int]
    ) -> None:
        base, pages = place
        session.set_mode(RateMode.REARMING)

        def replace() -> None:
            target.unmap(base, pages)
            session.tick()
            target.move(self.source, pages, base)

        chain.pre_dump(progress=once_copied(replace))
        assert_the_end_is_right(chain, target)


@pytest.mark.parametrize("huge", [False, True], ids=["small", "huge"])
def test_memory_that_was_given_up_and_only_read_since(
    chain: MemoryChain, target: ScriptedTarget, huge: bool
) -> None:
    """It shows zeros: the shared zero page, or the huge one."""
    pages = 2 * pages_per_huge_page()
    base = map_aligned(target, pages, OLD, huge=huge)
    chain.pre_dump()
    target.discard(base, pages)
    target.read(range(pages), base)
    chain.pre_dump()
    assert_the_end_is_right(chain, target)


@pytest.mark.parametrize("huge", [False, True], ids=["small", "huge"])
def test_memory_that_is_zeros_again(chain: MemoryChain, target: ScriptedTarget, huge: bool) -> None:
    pages = 2 * pages_per_huge_page()
    base = map_aligned(target, pages, OLD, huge=huge)
    for value in (OLD, NEW):
        target.discard(base, pages)
        target.read(range(pages), base)
        chain.pre_dump()
        target.fill(range(pages), base, value)
        chain.pre_dump()
        target.discard(base, pages)
        target.read(range(pages), base)
    assert_the_end_is_right(chain, target)


@pytest.mark.usefixtures("ksm")
def test_pages_that_the_kernel_has_merged_after_they_were_written(
    chain: MemoryChain, target: ScriptedTarget
) -> None:
    pages = 64
    base = target.map(pages)
    target.make_mergeable(base, pages)
    target.fill(range(pages), base, OLD)
    chain.pre_dump()
    target.fill(range(pages), base, NEW)
    target.wait_until_merged(pages)
    assert_the_end_is_right(chain, target)


class TestGoingOn:
    """Another dirtytop builds on a link whose maker has ended, unless what happened since cannot be seen."""

    def test_after_a_tick_began_an_epoch_of_its_own_while_the_link_was_made(
        self, kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
    ) -> None:
        with Session(target.pid, kind) as session:
            session.set_mode(RateMode.REARMING)
            session.arm()

            def write_and_tick() -> None:
                target.fill(range(30), value=NEW)
                session.tick()

            MemoryChain(session, chain_directory).pre_dump(progress=once_copied(write_and_tick))
        with Session(target.pid, kind) as session:
            assert_the_end_is_right(MemoryChain.go_on(session, chain_directory), target)

    def test_after_memory_was_moved(
        self, kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
    ) -> None:
        pages = 2 * pages_per_huge_page()
        source, place = map_aligned(target, pages, NEW), map_aligned(target, pages, OLD)
        with Session(target.pid, kind) as session:
            MemoryChain(session, chain_directory).pre_dump()
        target.move(source, pages, place)
        with Session(target.pid, kind) as session:
            assert_the_end_is_right(MemoryChain.go_on(session, chain_directory), target)
