"""CRIU, where one works: the program that DIRTYTOP_CRIU names, or the `criu` on PATH."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.errors import DirtytopError
from engine.tracking.session import Session
from tests.criu.outliving import Outliving

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="session")
def criu() -> Criu:
    """One that can dump and restore on this kernel."""
    try:
        found = examine_criu()
        found.require_dump()
    except DirtytopError as error:
        pytest.skip(error.message)
    return found


@pytest.fixture(scope="session")
def tracking_criu(criu: Criu) -> Criu:
    """One that can make pre-dumps."""
    if not criu.has_memory_tracking:
        pytest.skip(f"criu {criu.version_text} cannot make pre-dumps: no soft-dirty bits in this kernel")
    return criu


@pytest.fixture
def orphans_are_ours() -> Iterator[None]:
    """Processes whose parent is killed become our children: not every init waits for them."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Outliving]:
    """A target that rewrites its pages all the time and checks them."""
    with Outliving.judging(tmp_path) as target:
        yield target


@pytest.fixture
def session(judge: Outliving) -> Iterator[Session]:
    with Session(judge.pid) as opened:
        yield opened


@pytest.fixture
def chain(criu: Criu, session: Session, chain_directory: Path) -> CriuChain:
    return CriuChain(session, chain_directory, criu=criu)
