"""The dashboard on real processes: what it shows and makes is what the kernel says."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.pageset import PAGE_SHIFT
from tests.targets.scripted import ScriptedTarget
from tests.tui.machine import Until
from tui.app import DirtytopApp
from tui.desk import Options
from tui.screens.links import LinksScreen
from tui.screens.pick import PickScreen
from tui.screens.watch import WatchScreen
from tui.target import Stage, Target
from widgets.area_table import AreaTable
from widgets.process_table import ProcessTable


def run(app: DirtytopApp) -> Any:
    return app.run_test(size=(120, 40), notifications=True, tooltips=True)


def current(app: DirtytopApp) -> Target:
    target = app.desk.watched.current
    assert target is not None
    return target


def since_armed_pages(app: DirtytopApp) -> int:
    sample = current(app).live.sample
    return sample.totals.since_armed_pages if sample else 0


def has_links(app: DirtytopApp, count: int) -> bool:
    return len(current(app).links) == count


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


async def test_a_real_process_is_watched_pre_dumped_and_dumped_into_a_sound_chain(
    target: ScriptedTarget, until: Until, tmp_path: Path
) -> None:
    directory = tmp_path / "chain"
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.2, directory=directory))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        target.fill([1, 2, 3])
        await until(pilot, lambda: since_armed_pages(app) >= 3)
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 1)
        target.fill([7, 8])
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 2)
        await pilot.press("D", "ctrl+s")
        await until(pilot, lambda: len(current(app).links) == 3)
        await pilot.press("q")
    assert app.desk.watched.join()
    chain = read_chain(directory)
    assert [link.kind for link in chain.links] == [LinkKind.PRE_DUMP, LinkKind.PRE_DUMP, LinkKind.DUMP]
    assert verify(chain) == ()


async def test_a_link_of_a_real_process_is_opened_to_the_pages_that_were_written(
    target: ScriptedTarget, until: Until, tmp_path: Path
) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.2, directory=tmp_path / "chain"))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        for number, pages in enumerate((range(100), [7, 8]), 1):
            target.fill(pages)
            await pilot.press("d")
            await until(pilot, partial(has_links, app, number))
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, LinksScreen))
        table = app.screen.query_one(AreaTable)
        await until(pilot, lambda: table.row_count)
        sample = current(app).live.sample
        assert sample is not None
        maps = sample.processes[0].maps
        row = maps.index_at(target.base >> PAGE_SHIFT)
        assert row is not None
        assert table.move_cursor_to((target.pid, maps.vmas[row].start))
        areas = app.desk.backend.read_areas(current(app).links[-1].path, {target.pid: maps})
        (region,) = (area for area in areas if area.start == maps.vmas[row].start)
        assert (region.written_pages, region.in_parent_pages) == (2, 510)
        await pilot.press("escape", "q")
    assert app.desk.watched.join()


async def test_a_real_process_is_found_in_the_picker(target: ScriptedTarget, until: Until) -> None:
    app = DirtytopApp(Options(interval_s=0.2))
    async with run(app) as pilot:
        assert isinstance(app.screen, PickScreen)
        await until(pilot, lambda: app.screen.query_one(ProcessTable).row_count)
        await pilot.press("slash", *str(target.pid), "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        await until(pilot, lambda: current(app).live.sample)
        assert current(app).pid == target.pid
        await pilot.press("q")
    assert app.desk.watched.join()


async def test_a_real_process_that_is_killed_is_shown_as_gone(target: ScriptedTarget, until: Until) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.1))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        os.kill(target.pid, signal.SIGKILL)
        await until(pilot, lambda: current(app).stage is Stage.GONE)
        await pilot.press("q")
    assert app.desk.watched.join()


async def test_a_kernel_thread_is_refused_in_the_dashboard(until: Until) -> None:
    kthreadd = 2
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text().strip() != "kthreadd":
        pytest.skip("pid 2 is no kernel thread in this pid namespace")
    app = DirtytopApp(Options((kthreadd,), arm=True))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).stage is Stage.REFUSED)
        await pilot.press("q")
