"""The chain opened: a flow of links, and under it what each saved of which memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from engine.errors import BadImage
from tests.tui.machine import Launch, ScriptedMachine, Until, current, run
from tui.app import DirtytopApp
from tui.screens.links import LinksScreen
from tui.screens.watch import WatchScreen
from widgets.area_table import AreaTable
from widgets.chain_flow import ChainFlow

POSTGRES = 40


def has_links(app: DirtytopApp, count: int) -> bool:
    return len(current(app).links) == count


async def make_links(pilot: Pilot[Any], app: DirtytopApp, until: Until, count: int) -> None:
    await until(pilot, lambda: current(app).live.sample)
    for number in range(1, count + 1):
        await pilot.press("d")
        await until(pilot, partial(has_links, app, number))


async def open_links(pilot: Pilot[Any], app: DirtytopApp, until: Until) -> LinksScreen:
    await pilot.press("l")
    await until(pilot, lambda: isinstance(app.screen, LinksScreen))
    assert isinstance(app.screen, LinksScreen)
    screen = app.screen
    await until(pilot, lambda: screen.query_one(AreaTable).row_count)
    return screen


def facts(screen: LinksScreen) -> str:
    return str(screen.query_one("#facts Static", Static).content)


def areas(screen: LinksScreen) -> str:
    table = screen.query_one(AreaTable)
    return "\n".join(table.render_line(y).text for y in range(table.content_size.height))


async def test_the_newest_link_is_shown_first_and_left_goes_to_the_one_before(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await make_links(pilot, app, until, 2)
        screen = await open_links(pilot, app, until)
        assert facts(screen).startswith("pre-dump 2")
        assert "<0.01" not in areas(screen)
        await pilot.press("left")
        await until(pilot, lambda: facts(screen).startswith("pre-dump 1"))
        await pilot.press("end")
        await until(pilot, lambda: facts(screen).startswith("pre-dump 2"))


async def test_an_area_tells_what_was_saved_here_and_what_the_parent_holds(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await make_links(pilot, app, until, 2)
        screen = await open_links(pilot, app, until)
        hottest = areas(screen).splitlines()[1].split()
        # 4,800 of 90,000 pages were written again.
        assert "18.75" in hottest
        assert "332.81" in hottest
        await pilot.press("left")
        await until(pilot, lambda: "351.56" in areas(screen).splitlines()[1].split())


@pytest.mark.parametrize(("size", "both"), [((80, 24), False), ((120, 40), True)])
async def test_enter_opens_the_areas_and_escape_leads_back(
    launch: Launch,
    machine: ScriptedMachine,
    until: Until,
    tmp_path: Path,
    size: tuple[int, int],
    both: bool,
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app, size) as pilot:
        await make_links(pilot, app, until, 1)
        screen = await open_links(pilot, app, until)
        table, figures = screen.query_one(AreaTable), screen.query_one("#facts")
        assert (figures.display, table.display) == (True, both)
        await pilot.press("enter")
        await until(pilot, lambda: table.has_focus)
        assert (figures.display, table.display) == (both, True)
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(ChainFlow).has_focus)
        assert (figures.display, table.display) == (True, both)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))


async def test_images_that_cannot_be_read_are_told_of_in_place_of_areas(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    machine.areas_error = BadImage("/chain/1 [x[/]: there is no such directory")
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await make_links(pilot, app, until, 1)
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, LinksScreen))
        table = app.screen.query_one(AreaTable)
        await until(pilot, lambda: table.empty_text == "/chain/1 [x[/]: there is no such directory")
        assert facts_of(app).startswith("pre-dump 1")


def facts_of(app: DirtytopApp) -> str:
    assert isinstance(app.screen, LinksScreen)
    return facts(app.screen)


async def test_a_link_made_meanwhile_joins_the_flow(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await make_links(pilot, app, until, 1)
        machine.linking.clear()
        await pilot.press("d")
        await until(pilot, lambda: current(app).progress)
        screen = await open_links(pilot, app, until)
        machine.linking.set()
        await until(pilot, lambda: facts(screen).startswith("pre-dump 2"))
