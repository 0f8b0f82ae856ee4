"""Memory that dumps are copied to: there before the target is stopped, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint import copy_buffer as copying_to
from engine.checkpoint.copy_buffer import FIRST_BYTES, KEPT_BYTES, SPARE_BYTES, copy_buffer, grow
from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain
from engine.kernel.memory import PageBuffer
from engine.pageset import PAGE_SIZE
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.spread


def test_there_is_room_for_what_is_pending_and_more(session: Session, target: ScriptedTarget) -> None:
    pages = FIRST_BYTES // PAGE_SIZE
    target.touch(target.map(pages), pages)
    pending_bytes = session.tick().totals.pending_pages * PAGE_SIZE
    with copy_buffer(session) as buffer:
        assert buffer.size_bytes >= pending_bytes + SPARE_BYTES


def test_a_session_keeps_its_buffer(session: Session) -> None:
    with copy_buffer(session) as buffer:
        address = buffer.address
    with copy_buffer(session) as again:
        assert again.address == address


def test_two_dumps_at_once_have_their_own(session: Session) -> None:
    with copy_buffer(session) as one, copy_buffer(session) as other:
        assert one.address != other.address


def test_no_more_is_kept_than_most_dumps_need(session: Session, target: ScriptedTarget) -> None:
    pages = KEPT_BYTES // PAGE_SIZE
    target.touch(target.map(pages), pages)
    with copy_buffer(session) as buffer:
        assert buffer.size_bytes > KEPT_BYTES
    with copy_buffer(session) as again:
        pass
    assert again.size_bytes == KEPT_BYTES


def test_what_the_system_cannot_spare_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = PageBuffer(4 * PAGE_SIZE)
    monkeypatch.setattr(copying_to, "most_bytes", lambda: 8 * PAGE_SIZE)
    assert grow(buffer, 8 * PAGE_SIZE)
    assert not grow(buffer, 9 * PAGE_SIZE)
    assert buffer.size_bytes == 8 * PAGE_SIZE


def test_a_target_that_wrote_more_than_was_foreseen_is_dumped_whole(
    chain: MemoryChain, session: Session, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then what is missing is mapped in while it is stopped."""
    chain.pre_dump()
    target.fill(range(200), value=3)
    monkeypatch.setattr(copying_to, "_kept", {session: PageBuffer(4 * PAGE_SIZE)})
    monkeypatch.setattr(copying_to, "_pending_bytes", lambda session: -SPARE_BYTES)
    result = chain.dump(After.STOP)
    assert not result.notes
    assert differences(read_chain(chain.directory), target.pid) == []


def test_a_dump_that_does_not_fit_is_written_while_the_target_waits(
    session: Session, target: ScriptedTarget, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying_to, "most_bytes", lambda: 4 * PAGE_SIZE)
    chain = MemoryChain(session, chain_directory)
    result = chain.dump(After.STOP)
    assert "more was pending than fits" in result.notes[0]
    assert differences(read_chain(chain.directory), target.pid) == []
