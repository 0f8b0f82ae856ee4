from __future__ import annotations

import re

import pytest

from tests.tui.driver import POSTGRES, Dashboard
from tui import keys
from tui.help import GROUPS, command_entries, help_entries
from tui.screens.dump.screen import DumpScreen
from tui.screens.help import HelpScreen


def test_every_key_of_ours_has_a_group_and_an_explanation() -> None:
    for binding in (*keys.APP, *keys.PICK, *keys.WATCH):
        assert binding.id is not None
        assert binding.id.partition(".")[0] in GROUPS, binding.id
        assert binding.tooltip


def test_no_key_has_two_meanings_on_one_screen() -> None:
    for screen in (keys.PICK, keys.WATCH):
        pressed = [key for binding in (*keys.APP, *screen) for key in binding.key.split(",")]
        assert len(pressed) == len(set(pressed))


async def test_the_help_lists_exactly_what_can_be_pressed_now(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        listed = {
            entry.text for entries in help_entries(dash.app.screen, dash.app).values() for entry in entries
        }
        assert "Add a link of memory to the chain" in listed
        assert "Cancel the running link" not in listed  # nothing is running
        await dash.opens(HelpScreen, "question_mark")
        await dash.sees(*listed)
        await dash.press("question_mark")
        await dash.until(lambda: not dash.is_on(HelpScreen))


async def test_read_only_help_does_not_speak_of_dumps(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, readonly=True) as dash:
        listed = [
            entry.text for entries in help_entries(dash.app.screen, dash.app).values() for entry in entries
        ]
        assert not any(re.search("dump|link of memory", text) for text in listed)


async def test_the_palette_does_what_its_entries_say(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.press("ctrl+p", *"pause")
        await dash.pause(0.5)
        await dash.press("enter")
        await dash.until(lambda: dash.facts.paused)


async def test_every_action_of_a_screen_is_in_the_palette(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        titles = [command.title for command in command_entries(dash.app.screen, dash.app)]
        assert len(titles) == len(set(titles))
        for name in [
            "Arm",
            "Pre-dump",
            "Dump",
            "Pause",
            "Filter",
            "Pick",
            "Help",
            "Quit",
            "Slower",
            "Faster",
        ]:
            assert any(title.startswith(f"{name}: ") for title in titles), name


async def test_f1_explains_dialogs_too_and_closes_its_help(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(DumpScreen, "D")
        await dash.opens(HelpScreen, "f1")
        await dash.sees("Choose the directory in a tree")
        await dash.opens(DumpScreen, "f1")


async def test_abbreviations_stay_as_they_are_in_the_palette(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.link("d", "enter")
        titles = [command.title for command in command_entries(dash.app.screen, dash.app)]
        assert "CRIU's log: what CRIU said of the last link, or failure" in titles


@pytest.mark.parametrize(("width", "count"), [(80, 1), (120, 2), (200, 2)])
async def test_the_help_has_two_columns_where_there_is_room(
    dashboard: Dashboard, width: int, count: int
) -> None:
    async with dashboard(POSTGRES, size=(width, 40)) as dash:
        await dash.opens(HelpScreen, "f1")
        await dash.pause()
        assert len({column.region.x for column in dash.app.screen.query(".column")}) == count
