"""A chain that is not sound, or not understood, is not built upon."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoint.earlier import examine_chain
from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import Engine
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.resuming import engine_of, read_open_chain, why_not_the_same
from engine.checkpoint.sidecar import Sidecar, read_sidecar
from engine.errors import UnknownFormat
from engine.images.chain import read_chain
from engine.images.layout import SIDECAR
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget


@pytest.fixture
def session(target: ScriptedTarget) -> Session:
    return Session(target.pid)


@pytest.fixture
def chain(session: Session, chain_directory: Path) -> MemoryChain:
    """Two links, the second of which holds next to nothing itself."""
    made = MemoryChain(session, chain_directory)
    made.pre_dump()
    made.pre_dump()
    return made


def as_if_by_soft_dirty(chain: MemoryChain) -> Sidecar:
    """As on a kernel where epochs outlast the program that began them."""
    sidecar = read_sidecar(chain.links[-1].path)
    assert sidecar is not None
    return replace(sidecar, tracker=TrackerKind.SOFT_DIRTY)


def test_a_sound_chain_can_be_left_to(chain: MemoryChain) -> None:
    assert why_not_the_same(read_chain(chain.directory), as_if_by_soft_dirty(chain)) == ""


def test_a_link_before_the_last_that_lost_data_is_noticed(chain: MemoryChain) -> None:
    (pages,) = chain.links[0].path.glob("pages-*.img")
    os.truncate(pages, pages.stat().st_size - 1)
    reason = why_not_the_same(read_chain(chain.directory), as_if_by_soft_dirty(chain))
    assert reason.startswith(f"the chain is not sound: {chain.links[0].path}: {pages.name} has")


def test_a_newer_link_that_is_incomplete_is_noticed(chain: MemoryChain) -> None:
    (chain.directory / "3").mkdir()
    (chain.directory / "3" / "inventory.img").touch()
    reason = why_not_the_same(read_chain(chain.directory), as_if_by_soft_dirty(chain))
    assert "3: stats-dump is missing" in reason


def test_a_chain_of_another_version_of_dirtytop_is_named_as_that(
    chain: MemoryChain, session: Session
) -> None:
    path = chain.links[-1].path / SIDECAR
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(UnknownFormat, match="another version of dirtytop"):
        engine_of(read_open_chain(chain.directory))
    earlier = examine_chain(session, chain.directory)
    assert earlier is not None
    assert "another version of dirtytop" in earlier.why_not


def test_a_damaged_sidecar_is_told_before_anything_is_begun(session: Session, chain_directory: Path) -> None:
    link = open_chain(Engine.MEMORY, session, chain_directory).pre_dump()
    (link.path / SIDECAR).write_text("{")
    earlier = examine_chain(session, chain_directory)
    assert earlier is not None
    assert "is damaged" in earlier.why_not
