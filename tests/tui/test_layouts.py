"""Three sizes of terminal: every panel is reached, seen, and given the whole screen."""

from __future__ import annotations

import pytest
from textual.widget import Widget
from textual.widgets import Footer

from tests.tui.driver import POSTGRES, SIZES, Dash, Dashboard
from tui.screens.links import LinksScreen
from tui.settings import Settings
from widgets.heat_map import HeatMap
from widgets.vma_table import VmaIdentity, VmaTable

PANELS = {"verdict", "chart", "chain", "log", "table"}


async def has_the_screen(dash: Dash, panel: str) -> None:
    widget: Widget = dash.one(f"#{panel}")
    app = dash.app
    await dash.until(lambda: widget is app.screen.maximized and widget.region.height >= app.size.height - 3)


async def focus(dash: Dash, panel: str) -> Widget:
    """Press Tab until the panel has the focus."""
    widget: Widget = dash.one(f"#{panel}")
    for _ in range(10):
        if widget.has_focus:
            break
        await dash.press("tab")
    return widget


@pytest.mark.parametrize("size", SIZES)
async def test_tab_goes_round_the_panels_in_view(dashboard: Dashboard, size: tuple[int, int]) -> None:
    async with dashboard(POSTGRES, size=size) as dash:
        seen = set()
        for _ in range(len(PANELS)):
            await dash.press("tab")
            assert dash.app.screen.focused is not None
            seen.add(dash.app.screen.focused.id)
        assert seen | {"log"} == PANELS, "the events have no room in a low terminal"
        assert ("log" in seen) is (size[1] >= 34)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("panel", sorted(PANELS - {"log"}))
async def test_z_gives_the_panel_with_the_focus_the_screen_and_takes_it_back(
    dashboard: Dashboard, size: tuple[int, int], panel: str
) -> None:
    async with dashboard(POSTGRES, size=size) as dash:
        widget = await focus(dash, panel)
        assert widget.has_focus
        await dash.press("z")
        await has_the_screen(dash, panel)
        await dash.press("z")
        await dash.until(lambda: dash.app.screen.maximized is None)


async def test_v_turns_what_has_the_screen(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await focus(dash, "chart")
        await dash.press("z")
        for panel in ("heat", "curve", "chart"):
            await dash.press("v")
            await has_the_screen(dash, panel)
            assert dash.one(f"#{panel}").has_focus


async def test_hiding_a_panel_that_has_the_screen_gives_the_screen_back(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await focus(dash, "chart")
        await dash.press("z", "1")
        await dash.until(lambda: dash.app.screen.maximized is None)
        assert not dash.one("#chart").display


@pytest.mark.parametrize("size", SIZES)
async def test_the_heat_map_has_room_for_its_axis_at_every_size_and_the_table_for_some_rows(
    dashboard: Dashboard, size: tuple[int, int]
) -> None:
    async with dashboard(POSTGRES, settings=Settings(plot="heat"), size=size) as dash:
        await dash.until(lambda: len(dash.facts.live.heat) >= 2)
        heat, table = dash.one(HeatMap), dash.one("#table")
        # The banner that said "not armed" gives its line back with the next layout.
        await dash.until(lambda: heat.content_size.height >= 7 and table.content_size.height >= 4)


async def test_enter_on_the_chain_opens_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.link("d", "enter")
        await focus(dash, "chain")
        await dash.opens(LinksScreen, "enter")


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_left_takes_the_room_of_the_table_that_is_hidden(
    dashboard: Dashboard, size: tuple[int, int]
) -> None:
    async with dashboard(POSTGRES, size=size) as dash:
        await dash.until(lambda: dash.facts.is_armed)
        await dash.press("2")
        upper = dash.one("#upper")
        await dash.until(lambda: upper.region.bottom == size[1] - 1)


async def test_without_the_heat_map_the_table_shows_the_hottest_again(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(plot="heat")) as dash:
        await dash.until(lambda: len(dash.facts.live.heat) >= 2)
        table, heat = dash.one(VmaTable), dash.one(HeatMap)
        coldest = table.shown_identities[-1]
        assert isinstance(coldest, VmaIdentity)
        heat.post_message(HeatMap.Moved(heat, coldest))
        await dash.until(lambda: table.cursor_index > 0)
        await dash.press("v")
        await dash.until(lambda: table.cursor_index == 0)


async def test_in_a_narrow_terminal_the_footer_makes_room_for_the_key_that_cancels(
    dashboard: Dashboard,
) -> None:
    async with dashboard(POSTGRES, size=(80, 24)) as dash:
        dash.machine.linking.clear()
        await dash.until(lambda: dash.facts.is_armed)
        footer = dash.one(Footer)
        assert footer.show_command_palette
        await dash.press("d", "enter")
        await dash.until(lambda: dash.facts.is_busy)
        await dash.until(lambda: not footer.show_command_palette)
        dash.machine.linking.set()
        await dash.until(lambda: footer.show_command_palette)
