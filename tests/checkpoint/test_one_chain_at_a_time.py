"""What is pending is so with regard to one chain: another one takes over whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import Cancelled, DirtytopError, LinkFailed
from engine.images.chain import read_chain, verify
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget

USELESS = Criu(Path("/bin/false"), (4, 1, 1), "it does nothing", has_memory_tracking=True)
HOLDS_MOST = 400
"""Of the 512 pages of a target's region: so many are left to the parent, or more."""


@pytest.fixture
def earlier(kind: TrackerKind, target: ScriptedTarget, tmp_path: Path) -> Path:
    """A chain of the target whose maker has ended."""
    with Session(target.pid, kind) as session:
        MemoryChain(session, tmp_path / "earlier").pre_dump()
    return tmp_path / "earlier"


def of_criu(session: Session, directory: Path) -> object:
    return CriuChain(session, directory / "new", criu=USELESS)


def of_both(session: Session, directory: Path) -> object:
    return SplicedChain(session, directory / "new", criu=USELESS)


def in_the_earliers_place(session: Session, directory: Path) -> object:
    return MemoryChain(session, directory)


def on_with_both(session: Session, directory: Path) -> object:
    return SplicedChain.go_on(session, directory, criu=USELESS)


def on_with_criu(session: Session, directory: Path) -> object:
    return CriuChain.go_on(session, directory, criu=USELESS)


def on_with_a_damaged_sidecar(session: Session, directory: Path) -> object:
    next((directory / "1").glob("dirtytop.json")).write_text("{}")
    return MemoryChain.go_on(session, directory)


@pytest.mark.parametrize(
    "begin",
    [
        of_criu, of_both, in_the_earliers_place, on_with_both, on_with_criu, on_with_a_damaged_sidecar,
    ],
)  # fmt: skip
def test_one_that_is_refused_leaves_the_chain_under_way_as_it_was(
    earlier: Path, session: Session, chain: MemoryChain, target: ScriptedTarget,
    begin: Callable[[Session, Path], object],
) -> None:  # fmt: skip
    chain.pre_dump()
    with pytest.raises(DirtytopError):
        begin(session, earlier)
    target.fill(range(30), value=3)
    result = chain.pre_dump()
    assert result.notes == ()
    assert result.pages_in_parent > HOLDS_MOST


def test_a_link_that_is_done_after_another_chain_was_begun_leaves_nothing_to_itself(
    session: Session, chain: MemoryChain, target: ScriptedTarget, tmp_path: Path
) -> None:
    """Its pages would be left out of the first link of a chain that does not hold them."""
    others: list[MemoryChain] = []

    def begin_another(progress: object) -> None:
        if not others:
            others.append(MemoryChain(session, tmp_path / "other"))

    chain.pre_dump(progress=begin_another)
    (other,) = others
    assert other.pre_dump().pages_in_parent == 0
    assert verify(read_chain(other.directory)) == ()


def test_a_link_that_fails_after_another_chain_was_begun_takes_nothing_from_that(
    session: Session, chain: MemoryChain, target: ScriptedTarget, tmp_path: Path
) -> None:
    others: list[MemoryChain] = []

    def begin_another_and_fail(progress: object) -> None:
        others.append(MemoryChain(session, tmp_path / "other"))
        others[0].pre_dump()
        raise LinkFailed("the disk is full")

    with pytest.raises(LinkFailed, match="the disk is full"):
        chain.pre_dump(progress=begin_another_and_fail)
    target.fill(range(30), value=3)
    assert others[0].pre_dump().pages_in_parent > HOLDS_MOST
    others[0].dump(After.STOP)
    images = read_chain(others[0].directory)
    assert verify(images) == ()
    assert differences(images, target.pid) == []


def test_why_a_link_is_a_full_one_is_told_though_the_first_try_fails(
    session: Session, chain: MemoryChain, tmp_path: Path
) -> None:
    chain.pre_dump()
    MemoryChain(session, tmp_path / "other")
    with pytest.raises(Cancelled):
        chain.pre_dump(cancelled=lambda: True)
    assert "another chain of this target was made" in chain.why_full
    again = chain.pre_dump()
    assert again.pages_in_parent == 0
    assert again.notes == ("another chain of this target was made meanwhile: this link is a full one",)


def test_another_session_takes_nothing_of_a_chain_away_though_nobody_watches_new_memory_yet(
    kind: TrackerKind, target: ScriptedTarget, tmp_path: Path
) -> None:
    """By write-protection it is not refused then: it watches that, and has to leave out what we watch."""
    with Session(target.pid, kind) as session:
        chain = MemoryChain(session, tmp_path / "chain")
        chain.pre_dump()
        target.fill(range(4), target.map(4))
        with Session(target.pid, kind) as other:
            other.arm()
        images = read_chain(chain.dump(After.STOP).path)
    assert verify(images) == ()
    assert differences(images, target.pid) == []
