"""What tests of spliced chains share with those of CRIU's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.spliced.chain import SplicedChain
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.conftest import criu, judge, orphans_are_ours
from tests.criu.outliving import Outliving

__all__ = ["criu", "judge", "orphans_are_ours"]


@pytest.fixture
def session(judge: Outliving, kind: TrackerKind) -> Iterator[Session]:
    with Session(judge.pid, kind) as opened:
        yield opened


@pytest.fixture
def chain(criu: Criu, session: Session, chain_directory: Path) -> SplicedChain:
    return SplicedChain(session, chain_directory, criu=criu)
