"""The dashboard where writes are seen by soft-dirty bits: what it says of its modes, and of who clears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.link import Engine
from engine.images.chain import read_chain, verify
from engine.kernel.clear_refs import clear_soft_dirty
from engine.pageset import PAGE_SHIFT
from engine.tracking.probe import probe
from engine.tracking.sample import RateMode, TrackerKind
from tests.known import known
from tests.targets.scripted import ScriptedTarget
from tests.tui.driver import Dash, Dashboard

pytestmark = [
    pytest.mark.skipif(not probe().soft_dirty.works, reason=probe().soft_dirty.reason),
    pytest.mark.spread,
]

OPTIONS: Any = {"tracker": TrackerKind.SOFT_DIRTY, "engine": Engine.MEMORY, "real": True}


async def two_ticks(dash: Dash) -> None:
    """Wait for two more ticks: the second began when all before had been done."""
    for _ in range(2):
        seen = dash.facts.live
        await dash.until(lambda seen=seen: dash.facts.live is not seen)  # type: ignore[misc]


def in_region(dash: Dash, target: ScriptedTarget) -> tuple[int, int]:
    """Pages of the region: written in the last tick, and since armed."""
    sample = dash.facts.live.sample
    assert sample is not None
    process = sample.processes[0]
    row = process.maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    return int(process.written_pages[row]), int(process.since_armed_pages[row])


async def test_each_mode_shows_what_it_sees_and_says_which_it_is(
    target: ScriptedTarget, dashboard: Dashboard, tmp_path: Path
) -> None:
    async with dashboard(target.pid, directory=tmp_path / "chain", **OPTIONS) as dash:
        assert "soft-dirty, cumulative" in dash.header
        assert "first written since armed" in str(dash.one("#chart").border_title)
        for _ in range(2):  # the second time its bits are still set from the first
            target.fill([3, 4])
            await two_ticks(dash)
        assert in_region(dash, target) == (0, 2)
        await dash.press("m")
        await dash.until(lambda: dash.facts.live.sample and "soft-dirty, re-arming" in dash.header)
        await two_ticks(dash)
        sample = dash.facts.live.sample
        assert sample is not None
        assert sample.mode is RateMode.REARMING

        def is_written_again() -> bool:
            target.fill([3, 4])  # each time: a tick that shows it may be over before one looks
            return in_region(dash, target) == (2, 2)

        await dash.until(is_written_again)


async def test_a_clear_by_another_program_is_told_and_the_next_link_is_a_full_one(
    target: ScriptedTarget, dashboard: Dashboard, tmp_path: Path
) -> None:
    async with dashboard(target.pid, directory=tmp_path / "chain", **OPTIONS) as dash:
        await dash.link()
        await two_ticks(dash)
        target.fill([7])
        await dash.link()
        assert dash.facts.links[-1].pages_in_parent > 500
        await two_ticks(dash)
        target.fill([8])
        clear_soft_dirty(target.pid)
        await dash.until(lambda: "another program" in dash.log)
        await dash.link()
        assert dash.facts.links[-1].pages_in_parent == 0
        await dash.link("D", "ctrl+s")
        assert known(dash.facts.links[-1].stopped_us) > 0
    assert verify(read_chain(tmp_path / "chain")) == ()
