"""Programs that clear their own soft-dirty bits, as garbage collectors may: that is a foreign clear, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.tracking.sample import EventKind, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.compiled import CompiledTarget


@pytest.fixture
def collector() -> Iterator[CompiledTarget]:
    with CompiledTarget("collecting") as target:
        yield target


def test_it_is_told_and_the_next_link_is_a_full_one(
    kind: TrackerKind, collector: CompiledTarget, chain_directory: Path
) -> None:
    if kind is not TrackerKind.SOFT_DIRTY:
        pytest.skip("write-protection has bits of its own, which no collector clears")
    with Session(collector.pid, kind) as session:
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        collector.ask()
        told = [event.text for event in session.tick().events if event.kind is EventKind.FOREIGN_CLEAR]
        assert len(told) == 1
        assert "or the process itself" in told[0]
        assert chain.pre_dump().pages_in_parent == 0


def test_no_page_is_lost(kind: TrackerKind, collector: CompiledTarget, chain_directory: Path) -> None:
    with Session(collector.pid, kind) as session:
        chain = MemoryChain(session, chain_directory)
        for _ in range(4):
            chain.pre_dump()
            collector.ask()
        chain.dump(After.STOP)
        images = read_chain(chain_directory)
        assert verify(images) == ()
        assert differences(images, collector.pid) == []
        os.kill(collector.pid, signal.SIGCONT)
        assert collector.ask().isdigit()
