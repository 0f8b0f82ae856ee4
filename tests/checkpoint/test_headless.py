"""A program whose main thread has ended, while others work, is saved like any other."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.pageset import PAGE_SHIFT
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.compiled import CompiledTarget


def test_it_is_saved_and_what_it_writes_then_is_in_the_next_link(
    kind: TrackerKind, chain_directory: Path
) -> None:
    with CompiledTarget("headless") as target, Session(target.pid, kind) as session:
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        assert target.ask() == "written"
        chain.dump()
        images = read_chain(chain_directory)
        assert not verify(images)
        first = int(target.said, 16) >> PAGE_SHIFT
        written = images.links[-1].pagemap(target.pid).present
        assert {page - first for page in written.pages().tolist() if first <= page < first + 64} == {0, 5}
        assert target.ask() == "written"
