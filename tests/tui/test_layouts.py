"""Three sizes of terminal: every panel is reached, seen, and given the whole screen."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Footer

from tests.tui.machine import Launch, ScriptedMachine, Until, current, run
from tui.app import DirtytopApp
from tui.screens.links import LinksScreen
from tui.settings import Settings
from widgets.heat_map import HeatMap
from widgets.vma_table import VmaIdentity, VmaTable

POSTGRES = 40
SIZES = [(80, 24), (120, 40), (200, 60)]
PANELS = {"verdict", "chart", "chain", "log", "table"}


def has_the_screen(app: DirtytopApp, panel: str) -> bool:
    widget = app.screen.query_one(f"#{panel}")
    return app.screen.maximized is widget and widget.region.height >= app.size.height - 3


async def focus(pilot: Pilot[Any], app: DirtytopApp, panel: str) -> Widget:
    """Press Tab until the panel has the focus."""
    widget = app.screen.query_one(f"#{panel}")
    for _ in range(10):
        if widget.has_focus:
            break
        await pilot.press("tab")
    return widget


@pytest.mark.parametrize("size", SIZES)
async def test_tab_goes_round_the_panels_in_view(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES)
    async with run(app, size) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        seen = set()
        for _ in range(len(PANELS)):
            await pilot.press("tab")
            assert app.screen.focused is not None
            seen.add(app.screen.focused.id)
        assert seen | {"log"} == PANELS, "the events have no room in a low terminal"
        assert ("log" in seen) is (size[1] >= 34)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("panel", sorted(PANELS - {"log"}))
async def test_z_gives_the_panel_with_the_focus_the_screen_and_takes_it_back(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int], panel: str
) -> None:
    app = launch(POSTGRES)
    async with run(app, size) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        widget = await focus(pilot, app, panel)
        assert widget.has_focus
        await pilot.press("z")
        await until(pilot, partial(has_the_screen, app, panel))
        await pilot.press("z")
        await until(pilot, lambda: app.screen.maximized is None)


async def test_v_turns_what_has_the_screen(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await focus(pilot, app, "chart")
        await pilot.press("z")
        for panel in ("heat", "curve", "chart"):
            await pilot.press("v")
            await until(pilot, partial(has_the_screen, app, panel))
            assert app.screen.query_one(f"#{panel}").has_focus


async def test_hiding_a_panel_that_has_the_screen_gives_the_screen_back(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await focus(pilot, app, "chart")
        await pilot.press("z", "1")
        await until(pilot, lambda: app.screen.maximized is None)
        assert not app.screen.query_one("#chart").display


@pytest.mark.parametrize("size", SIZES)
async def test_the_heat_map_has_room_for_its_axis_at_every_size_and_the_table_for_some_rows(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, settings=Settings(plot="heat"))
    async with run(app, size) as pilot:
        await until(pilot, lambda: len(current(app).live.heat) >= 2)
        heat, table = app.screen.query_one(HeatMap), app.screen.query_one("#table")
        # The banner that said "not armed" gives its line back with the next layout.
        await until(pilot, lambda: heat.content_size.height >= 7 and table.content_size.height >= 4)


async def test_enter_on_the_chain_opens_it(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d", "enter")
        await until(pilot, lambda: current(app).links)
        await focus(pilot, app, "chain")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LinksScreen))


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_left_takes_the_room_of_the_table_that_is_hidden(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES)
    async with run(app, size) as pilot:
        await until(pilot, lambda: current(app).is_armed)
        await pilot.press("2")
        upper = app.screen.query_one("#upper")
        await until(pilot, lambda: upper.region.bottom == size[1] - 1)


async def test_without_the_heat_map_the_table_shows_the_hottest_again(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(plot="heat"))
    async with run(app) as pilot:
        await until(pilot, lambda: len(current(app).live.heat) >= 2)
        table, heat = app.screen.query_one(VmaTable), app.screen.query_one(HeatMap)
        coldest = table.shown_identities[-1]
        assert isinstance(coldest, VmaIdentity)
        heat.post_message(HeatMap.Moved(heat, coldest))
        await until(pilot, lambda: table.cursor_index > 0)
        await pilot.press("v")
        await until(pilot, lambda: table.cursor_index == 0)


async def test_in_a_narrow_terminal_the_footer_makes_room_for_the_key_that_cancels(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.linking.clear()
    app = launch(POSTGRES)
    async with run(app, (80, 24)) as pilot:
        await until(pilot, lambda: current(app).is_armed)
        footer = app.screen.query_one(Footer)
        assert footer.show_command_palette
        await pilot.press("d", "enter")
        await until(pilot, lambda: current(app).is_busy)
        await until(pilot, lambda: not footer.show_command_palette)
        machine.linking.set()
        await until(pilot, lambda: footer.show_command_palette)
