"""The dashboard on real processes: what it shows and makes is what the kernel says."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.pageset import PAGE_SHIFT
from tests.targets.scripted import ScriptedTarget
from tests.tui.driver import Dash, Dashboard
from tui.screens.links import LinksScreen
from tui.screens.pick import PickScreen
from tui.screens.watch import WatchScreen
from tui.view.facts import Stage
from widgets.area_table import AreaTable
from widgets.process_table import ProcessTable


def since_armed_pages(dash: Dash) -> int:
    sample = dash.facts.live.sample
    return sample.totals.since_armed_pages if sample else 0


async def test_a_real_process_is_watched_pre_dumped_and_dumped_into_a_sound_chain(
    target: ScriptedTarget, dashboard: Dashboard, tmp_path: Path
) -> None:
    directory = tmp_path / "chain"
    async with dashboard(target.pid, directory=directory, real=True) as dash:
        target.fill([1, 2, 3])
        await dash.until(lambda: since_armed_pages(dash) >= 3)
        await dash.link()
        target.fill([7, 8])
        await dash.link()
        await dash.link("D", "ctrl+s")
    chain = read_chain(directory)
    assert [link.kind for link in chain.links] == [LinkKind.PRE_DUMP, LinkKind.PRE_DUMP, LinkKind.DUMP]
    assert verify(chain) == ()


async def test_a_link_of_a_real_process_is_opened_to_the_pages_that_were_written(
    target: ScriptedTarget, dashboard: Dashboard, tmp_path: Path
) -> None:
    async with dashboard(target.pid, directory=tmp_path / "chain", real=True) as dash:
        for pages in (range(100), [7, 8]):
            target.fill(pages)
            await dash.link()
        await dash.opens(LinksScreen, "l")
        table = dash.one(AreaTable)
        await dash.until(lambda: table.row_count)
        sample = dash.facts.live.sample
        assert sample is not None
        maps = sample.processes[0].maps
        row = maps.index_at(target.base >> PAGE_SHIFT)
        assert row is not None
        assert table.move_cursor_to((target.pid, maps.vmas[row].start))
        areas = dash.app.desk.backend.read_areas(dash.facts.links[-1].path, {target.pid: maps})
        (region,) = (area for area in areas if area.start == maps.vmas[row].start)
        assert (region.written_pages, region.in_parent_pages) == (2, 510)
        await dash.press("escape")


async def test_a_real_process_is_found_in_the_picker(target: ScriptedTarget, dashboard: Dashboard) -> None:
    async with dashboard(real=True) as dash:
        assert dash.is_on(PickScreen)
        await dash.until(lambda: dash.one(ProcessTable).row_count)
        await dash.opens(WatchScreen, "slash", *str(target.pid), "enter", "enter")
        assert dash.facts.pid == target.pid


async def test_a_real_process_that_is_killed_is_shown_as_gone(
    target: ScriptedTarget, dashboard: Dashboard
) -> None:
    async with dashboard(target.pid, interval_s=0.1, real=True) as dash:
        os.kill(target.pid, signal.SIGKILL)
        await dash.until(lambda: dash.facts.stage is Stage.GONE)


async def test_a_kernel_thread_is_refused_in_the_dashboard(dashboard: Dashboard) -> None:
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text().strip() != "kthreadd":
        pytest.skip("pid 2 is no kernel thread in this pid namespace")
    async with dashboard(2, real=True) as dash:
        await dash.until(lambda: dash.facts.stage is Stage.REFUSED)
