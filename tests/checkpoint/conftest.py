"""An armed session on a target that obeys, and a chain of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget


@pytest.fixture
def session(kind: TrackerKind, target: ScriptedTarget) -> Iterator[Session]:
    with Session(target.pid, kind) as opened:
        opened.arm()
        yield opened


@pytest.fixture
def chain(session: Session, chain_directory: Path) -> MemoryChain:
    return MemoryChain(session, chain_directory)
