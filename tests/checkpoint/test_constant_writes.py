"""Links of a target that never pauses: the stop for each is what keeps every page."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget
from tests.tracking.late_clear import map_apart, sweep_with_late_clears

SWEPT = 24_000


def test_no_page_is_lost_between_links_and_ticks_that_clear(
    kind: TrackerKind, target: ScriptedTarget, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = map_apart(target, SWEPT)
    with Session(target.pid, kind) as session:
        session.set_mode(RateMode.REARMING)
        session.arm()
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        # Each page is written once: what a tick reads too early and clears is in no later one.
        sweep_with_late_clears(monkeypatch, target, base, SWEPT)
        ticks = 0
        while target.swept() < SWEPT:
            session.tick()
            ticks += 1
            if ticks % 8 == 0:
                chain.pre_dump()
        assert ticks > 1
        images = read_chain(chain.dump(After.STOP).path)
        assert differences(images, target.pid) == []
