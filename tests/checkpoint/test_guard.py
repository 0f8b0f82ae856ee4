"""No chain breaks unseen: foreign clears, changed links, and chains that another dirtytop began."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.checkpoint.claim import CLEARED
from engine.checkpoint.link import LinkResult
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.sidecar import read_sidecar
from engine.errors import LinkFailed
from engine.images.layout import SIDECAR
from engine.kernel.clear_refs import clear_soft_dirty
from engine.tracking.sample import EventKind, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import assert_the_end_is_right
from tests.targets.scripted import ScriptedTarget

GoOn = Callable[[], tuple[MemoryChain, LinkResult]]


def needs_soft_dirty(session: Session) -> None:
    if session.tracker is not TrackerKind.SOFT_DIRTY:
        pytest.skip("nobody else can clear write-protection")


class TestForeignClears:
    def test_one_between_two_links_makes_the_next_a_full_one(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        needs_soft_dirty(session)
        chain.pre_dump()
        target.fill(range(30), value=3)
        clear_soft_dirty(target.pid)
        result = chain.pre_dump()
        assert result.pages_in_parent == 0
        assert any("the process itself, cleared" in note for note in result.notes)
        assert_the_end_is_right(chain, target)

    def test_one_is_told_at_the_next_tick(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        needs_soft_dirty(session)
        chain.pre_dump()
        session.tick()
        clear_soft_dirty(target.pid)
        events = [event.kind for event in session.tick().events]
        assert EventKind.FOREIGN_CLEAR in events
        assert EventKind.FOREIGN_CLEAR not in [event.kind for event in session.tick().events]

    def test_one_is_seen_even_if_nothing_was_written(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        needs_soft_dirty(session)
        chain.pre_dump()
        clear_soft_dirty(target.pid)
        assert chain.pre_dump().pages_in_parent == 0

    def test_one_that_a_tick_has_seen_is_known_before_the_next_link(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        needs_soft_dirty(session)
        chain.pre_dump()
        assert chain.why_full == ""
        clear_soft_dirty(target.pid)
        session.tick()
        assert chain.why_full == CLEARED
        chain.pre_dump()
        assert chain.why_full == ""

    def test_one_by_another_dirtytop_is_seen_though_that_plants_a_canary_too(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        needs_soft_dirty(session)
        for _ in range(5):
            chain.pre_dump()
            target.fill(range(30), value=3)
            with Session(target.pid, TrackerKind.SOFT_DIRTY) as other:
                other.arm()
            assert chain.pre_dump().pages_in_parent == 0
        assert_the_end_is_right(chain, target)

    def test_our_own_clears_are_not_foreign(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        chain.pre_dump()
        session.tick()
        session.arm()
        target.fill(range(5))
        session.tick()
        result = chain.pre_dump()
        assert result.pages_in_parent > 400
        assert result.notes == ()

    def test_write_protection_does_not_care(
        self, session: Session, chain: MemoryChain, target: ScriptedTarget
    ) -> None:
        if session.tracker is not TrackerKind.WRITE_PROTECT:
            pytest.skip("about write-protection")
        chain.pre_dump()
        target.fill(range(30), value=3)
        clear_soft_dirty(target.pid)
        assert chain.pre_dump().pages_in_parent > 400
        assert_the_end_is_right(chain, target)


class TestChangedLinks:
    def test_a_parent_that_was_removed(self, chain: MemoryChain, target: ScriptedTarget) -> None:
        chain.pre_dump()
        chain.pre_dump()
        shutil.rmtree(chain.directory / "1")
        target.fill(range(9), value=4)
        result = chain.pre_dump()
        assert result.pages_in_parent == 0
        assert any("changed or removed" in note for note in result.notes)
        assert_the_end_is_right(chain, target)

    def test_a_parent_that_was_changed(self, chain: MemoryChain, target: ScriptedTarget) -> None:
        chain.pre_dump()
        pages = next((chain.directory / "1").glob("pages-*.img"))
        os.truncate(pages, pages.stat().st_size - 4096)
        assert chain.pre_dump().pages_in_parent == 0
        assert_the_end_is_right(chain, target)


class TestGoingOn:
    """Another dirtytop goes on with a chain whose maker has ended."""

    @pytest.fixture
    def begun(self, kind: TrackerKind, target: ScriptedTarget, chain_directory: Path) -> Path:
        """Where the chain is."""
        with Session(target.pid, kind) as session:
            MemoryChain(session, chain_directory).pre_dump()
        return chain_directory

    @pytest.fixture
    def go_on(self, kind: TrackerKind, target: ScriptedTarget, begun: Path) -> Iterator[GoOn]:
        """Has another dirtytop make the next link: the chain, and the link."""
        with ExitStack() as sessions:

            def make() -> tuple[MemoryChain, LinkResult]:
                session = sessions.enter_context(Session(target.pid, kind))
                chain = MemoryChain.go_on(session, begun)
                return chain, chain.pre_dump()

            yield make

    def test_what_the_last_link_holds_is_left_to_it_if_nothing_disturbed_the_epoch(
        self, kind: TrackerKind, target: ScriptedTarget, go_on: GoOn
    ) -> None:
        target.fill(range(20), value=6)
        chain, result = go_on()
        assert result.number == 2
        if kind is TrackerKind.SOFT_DIRTY:
            assert result.pages_in_parent > 400
            assert result.notes == ()
        else:
            assert result.pages_in_parent == 0
            assert any("ended with the dirtytop" in note for note in result.notes)
        assert_the_end_is_right(chain, target)

    def test_a_clear_meanwhile_is_noticed(
        self, kind: TrackerKind, target: ScriptedTarget, go_on: GoOn
    ) -> None:
        if kind is not TrackerKind.SOFT_DIRTY:
            pytest.skip("nobody else can clear write-protection")
        target.fill(range(20), value=6)
        clear_soft_dirty(target.pid)
        chain, result = go_on()
        assert result.pages_in_parent == 0
        assert any("cleared the soft-dirty bits" in note for note in result.notes)
        assert_the_end_is_right(chain, target)

    def test_an_epoch_that_we_began_ourselves_after_the_last_link_is_not_the_links(
        self, kind: TrackerKind, target: ScriptedTarget, go_on: GoOn
    ) -> None:
        target.fill(range(20), value=6)
        with Session(target.pid, kind) as session:
            session.arm()
        chain, result = go_on()
        assert result.pages_in_parent == 0
        assert result.notes
        assert_the_end_is_right(chain, target)

    def test_a_chain_that_has_ended_is_refused(
        self, kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
    ) -> None:
        with Session(target.pid, kind) as session:
            MemoryChain(session, chain_directory).dump()
        with Session(target.pid, kind) as session, pytest.raises(LinkFailed, match="ended with a dump"):
            MemoryChain.go_on(session, chain_directory)

    def test_a_chain_of_another_process_is_refused(
        self, kind: TrackerKind, target: ScriptedTarget, begun: Path
    ) -> None:
        with (
            ScriptedTarget() as other,
            Session(other.pid, kind) as session,
            pytest.raises(LinkFailed, match=f"of process {target.pid}, not of {other.pid}"),
        ):
            MemoryChain.go_on(session, begun)

    def test_a_link_is_no_chain(self, kind: TrackerKind, target: ScriptedTarget, begun: Path) -> None:
        with Session(target.pid, kind) as session, pytest.raises(LinkFailed, match="is itself a link"):
            MemoryChain.go_on(session, begun / "1")

    def test_another_program_in_the_same_process_is_noticed(
        self, target: ScriptedTarget, go_on: GoOn
    ) -> None:
        target.exec_sleep()
        chain, result = go_on()
        assert result.pages_in_parent == 0
        assert result.notes
        assert_the_end_is_right(chain, target)

    def test_another_link_in_its_place_is_noticed(
        self, kind: TrackerKind, target: ScriptedTarget, begun: Path, tmp_path: Path
    ) -> None:
        with ScriptedTarget() as other, Session(other.pid, kind) as session:
            MemoryChain(session, tmp_path / "other").pre_dump()
        for image in (tmp_path / "other" / "1").glob("pagemap-*.img"):
            own = next((begun / "1").glob("pagemap-*.img"))
            shutil.copyfile(image, own)
        with Session(target.pid, kind) as session:
            assert MemoryChain.go_on(session, begun).pre_dump().pages_in_parent == 0

    def test_the_sidecar_says_who_began_the_epoch(
        self, kind: TrackerKind, target: ScriptedTarget, begun: Path
    ) -> None:
        sidecar = read_sidecar(begun / "1")
        assert sidecar is not None
        assert sidecar.tracker is kind
        assert [process.pid for process in sidecar.processes] == [target.pid]
        assert (sidecar.processes[0].canary is None) == (kind is TrackerKind.WRITE_PROTECT)
        assert (begun / "1" / SIDECAR).stat().st_mode & 0o777 == 0o600
