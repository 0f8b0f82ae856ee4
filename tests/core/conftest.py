"""Cores, made in every way, of targets that hold still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.spliced.chain import SplicedChain
from engine.core.of_chain import Core, make_cores
from engine.images.chain import read_chain
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.core.programs import Stopped, built
from tests.criu.conftest import criu

__all__ = ["criu"]

CoreOf = Callable[[Stopped], Path]


def core_of_link(link: Path, directory: Path, name: str = "core", *, everything: bool = False) -> Core:
    """The one core of a link."""
    with open_directory(directory) as above:
        (core,) = make_cores(read_chain(link), above, name, lambda done, total: None, everything=everything)
    return core


@pytest.fixture
def debugged() -> Iterator[Stopped]:
    with Stopped(built("debugged.c")) as target:
        yield target


@pytest.fixture
def memory_core(tmp_path: Path) -> CoreOf:
    """By a chain of ours."""

    def make(target: Stopped) -> Path:
        with Session(target.pid) as session:
            chain = MemoryChain(session, tmp_path / "chain")
            chain.pre_dump()
            chain.dump()
        return core_of_link(tmp_path / "chain", tmp_path).path

    return make


@pytest.fixture
def criu_core(criu: Criu, tmp_path: Path) -> CoreOf:
    """By a dump of CRIU's."""

    def make(target: Stopped) -> Path:
        with Session(target.pid) as session:
            CriuChain(session, tmp_path / "chain", criu=criu).dump()
        return core_of_link(tmp_path / "chain", tmp_path).path

    return make


@pytest.fixture
def spliced_core(criu: Criu, tmp_path: Path) -> CoreOf:
    """By a spliced chain."""

    def make(target: Stopped) -> Path:
        with Session(target.pid) as session:
            chain = SplicedChain(session, tmp_path / "chain", criu=criu)
            chain.pre_dump()
            chain.dump()
        return core_of_link(tmp_path / "chain", tmp_path).path

    return make


@pytest.fixture(params=["memory", "criu", "spliced"])
def core_of(request: pytest.FixtureRequest) -> CoreOf:
    """Each way in turn."""
    made: CoreOf = request.getfixturevalue(f"{request.param}_core")
    return made
