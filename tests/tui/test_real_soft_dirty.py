"""The dashboard where writes are seen by soft-dirty bits: what it says of its modes, and of who clears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.checkpoint.link import Engine
from engine.images.chain import read_chain, verify
from engine.kernel.clear_refs import clear_soft_dirty
from engine.pageset import PAGE_SHIFT
from engine.tracking.probe import probe
from engine.tracking.sample import RateMode, TrackerKind
from tests.known import known
from tests.targets.scripted import ScriptedTarget
from tests.tui.machine import Until, current, run
from tui.app import DirtytopApp
from tui.desk import Options
from widgets.target_header import TargetHeader

pytestmark = [
    pytest.mark.skipif(not probe().soft_dirty.works, reason=probe().soft_dirty.reason),
    pytest.mark.spread,
]

Ticked = Callable[[Pilot[Any], DirtytopApp], Awaitable[None]]


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def ticked(until: Until) -> Ticked:
    """Waits for two more ticks: the second began when all before had been done."""

    async def ticked(pilot: Pilot[Any], app: DirtytopApp) -> None:
        for _ in range(2):
            seen = current(app).live.sample
            await until(pilot, partial(is_another, app, seen))

    return ticked


def is_another(app: DirtytopApp, seen: object) -> bool:
    return current(app).live.sample is not seen


def dashboard(target: ScriptedTarget, directory: Path) -> DirtytopApp:
    return DirtytopApp(
        Options((target.pid,), True, 0.2, TrackerKind.SOFT_DIRTY, directory=directory, engine=Engine.MEMORY)
    )


def in_region(app: DirtytopApp, target: ScriptedTarget) -> tuple[int, int]:
    """Pages of the region: written in the last tick, and since armed."""
    sample = current(app).live.sample
    assert sample is not None
    process = sample.processes[0]
    row = process.maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    return int(process.written_pages[row]), int(process.since_armed_pages[row])


def header(app: DirtytopApp) -> str:
    return app.screen.query_one(TargetHeader).render_line(0).text


async def test_each_mode_shows_what_it_sees_and_says_which_it_is(
    target: ScriptedTarget, until: Until, ticked: Ticked, tmp_path: Path
) -> None:
    app = dashboard(target, tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        assert "soft-dirty, cumulative" in header(app)
        assert "first written since armed" in str(app.screen.query_one("#chart").border_title)
        for _ in range(2):  # the second time its bits are still set from the first
            target.fill([3, 4])
            await ticked(pilot, app)
        assert in_region(app, target) == (0, 2)
        await pilot.press("m")
        await until(pilot, lambda: current(app).live.sample and "soft-dirty, re-arming" in header(app))
        await ticked(pilot, app)
        sample = current(app).live.sample
        assert sample is not None
        assert sample.mode is RateMode.REARMING

        def is_written_again() -> bool:
            target.fill([3, 4])  # each time: a tick that shows it may be over before one looks
            return in_region(app, target) == (2, 2)

        await until(pilot, is_written_again)
        await pilot.press("q")
    assert app.desk.watched.join()


async def test_a_clear_by_another_program_is_told_and_the_next_link_is_a_full_one(
    target: ScriptedTarget, until: Until, ticked: Ticked, tmp_path: Path
) -> None:
    app = dashboard(target, tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 1)
        await ticked(pilot, app)
        target.fill([7])
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 2)
        assert current(app).links[-1].pages_in_parent > 500
        await ticked(pilot, app)
        target.fill([8])
        clear_soft_dirty(target.pid)
        await until(pilot, lambda: any("another program" in line.text for line in current(app).log))
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 3)
        assert current(app).links[-1].pages_in_parent == 0
        await pilot.press("D", "ctrl+s")
        await until(pilot, lambda: len(current(app).links) == 4)
        assert known(current(app).links[-1].stopped_us) > 0
        await pilot.press("q")
    assert app.desk.watched.join()
    assert verify(read_chain(tmp_path / "chain")) == ()
