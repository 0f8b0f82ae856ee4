"""The chain opened: a flow of links, and under it what each saved of which memory."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from engine.errors import BadImage
from tests.tui.driver import CHAIN, POSTGRES, Dash, Dashboard, drawn
from tui.screens.links import LinksScreen
from tui.screens.watch import WatchScreen
from widgets.area_table import AreaTable
from widgets.chain_flow import ChainFlow


async def make_links(dash: Dash, count: int) -> None:
    for _ in range(count):
        await dash.link()


async def open_links(dash: Dash) -> LinksScreen:
    screen = await dash.opens(LinksScreen, "l")
    await dash.until(lambda: screen.query_one(AreaTable).row_count)
    return screen


def facts(screen: LinksScreen) -> str:
    return str(screen.query_one("#facts Static", Static).content)


def areas(screen: LinksScreen) -> str:
    return drawn(screen.query_one(AreaTable))


async def test_the_newest_link_is_shown_first_and_left_goes_to_the_one_before(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await make_links(dash, 2)
        screen = await open_links(dash)
        assert facts(screen).startswith("pre-dump 2")
        assert "<0.01" not in areas(screen)
        await dash.press("left")
        await dash.until(lambda: facts(screen).startswith("pre-dump 1"))
        await dash.press("end")
        await dash.until(lambda: facts(screen).startswith("pre-dump 2"))


async def test_an_area_tells_what_was_saved_here_and_what_the_parent_holds(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await make_links(dash, 2)
        screen = await open_links(dash)
        hottest = areas(screen).splitlines()[1].split()
        # 4,800 of 90,000 pages were written again.
        assert "18.75" in hottest
        assert "332.81" in hottest
        await dash.press("left")
        await dash.until(lambda: "351.56" in areas(screen).splitlines()[1].split())


@pytest.mark.parametrize(("size", "both"), [((80, 24), False), ((120, 40), True)])
async def test_enter_opens_the_areas_and_escape_leads_back(
    dashboard: Dashboard, size: tuple[int, int], both: bool
) -> None:
    async with dashboard(POSTGRES, directory=CHAIN, size=size) as dash:
        await make_links(dash, 1)
        screen = await open_links(dash)
        table, figures = screen.query_one(AreaTable), screen.query_one("#facts")
        assert (figures.display, table.display) == (True, both)
        await dash.press("enter")
        await dash.until(lambda: table.has_focus)
        assert (figures.display, table.display) == (both, True)
        await dash.press("escape")
        await dash.until(lambda: screen.query_one(ChainFlow).has_focus)
        assert (figures.display, table.display) == (True, both)
        await dash.opens(WatchScreen, "escape")


async def test_images_that_cannot_be_read_are_told_of_in_place_of_areas(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        dash.machine.areas_error = BadImage("/chain/1 [x[/]: there is no such directory")
        await make_links(dash, 1)
        screen = await dash.opens(LinksScreen, "l")
        table = dash.one(AreaTable)
        await dash.until(lambda: table.empty_text == "/chain/1 [x[/]: there is no such directory")
        assert facts(screen).startswith("pre-dump 1")


async def test_a_link_made_meanwhile_joins_the_flow(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await make_links(dash, 1)
        dash.machine.linking.clear()
        await dash.press("d")
        await dash.until(lambda: dash.facts.progress)
        screen = await open_links(dash)
        dash.machine.linking.set()
        await dash.until(lambda: facts(screen).startswith("pre-dump 2"))
