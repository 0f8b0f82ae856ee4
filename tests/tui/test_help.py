from __future__ import annotations

import re
from typing import Any

import pytest
from textual.widgets import Static

from tests.tui.machine import Launch, ScriptedMachine, Until
from tui import keys
from tui.app import DirtytopApp
from tui.help import GROUPS, command_entries, help_entries
from tui.screens.dump import DumpScreen
from tui.screens.help import HelpScreen

POSTGRES = 40


def run(app: DirtytopApp) -> Any:
    return app.run_test(size=(120, 40), notifications=True, tooltips=True)


def test_every_key_of_ours_has_a_group_and_an_explanation() -> None:
    for binding in (*keys.APP, *keys.PICK, *keys.WATCH):
        assert binding.id is not None
        assert binding.id.partition(".")[0] in GROUPS, binding.id
        assert binding.tooltip


def test_no_key_has_two_meanings_on_one_screen() -> None:
    for screen in (keys.PICK, keys.WATCH):
        pressed = [key for binding in (*keys.APP, *screen) for key in binding.key.split(",")]
        assert len(pressed) == len(set(pressed))


async def test_the_help_lists_exactly_what_can_be_pressed_now(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].is_armed)
        listed = {entry.text for entries in help_entries(app.screen, app).values() for entry in entries}
        assert "Add a link of memory to the chain" in listed
        assert "Cancel the running link" not in listed  # nothing is running
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        shown = "\n".join(str(static.content) for static in app.screen.query(Static))
        for text in listed:
            assert text in shown
        await pilot.press("question_mark")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))


async def test_read_only_help_does_not_speak_of_dumps(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, readonly=True)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].live.sample)
        listed = [entry.text for entries in help_entries(app.screen, app).values() for entry in entries]
        assert not any(re.search("dump|link of memory", text) for text in listed)


async def test_the_palette_does_what_its_entries_say(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].live.sample)
        await pilot.press("ctrl+p", *"pause")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: app.desk.watched.targets[0].is_paused)


async def test_every_action_of_a_screen_is_in_the_palette(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].live.sample)
        titles = [command.title for command in command_entries(app.screen, app)]
        assert len(titles) == len(set(titles))
        for name in (
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
        ):
            assert any(title.startswith(f"{name}: ") for title in titles), name


async def test_f1_explains_dialogs_too_and_closes_its_help(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].is_armed)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        shown = "\n".join(str(static.content) for static in app.screen.query(Static))
        assert "Choose the directory in a tree" in shown
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))


async def test_abbreviations_stay_as_they_are_in_the_palette(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].is_armed)
        await pilot.press("d", "enter")
        await until(pilot, lambda: app.desk.watched.targets[0].links)
        titles = [command.title for command in command_entries(app.screen, app)]
        assert "CRIU's log: what CRIU said of the last link, or failure" in titles


@pytest.mark.parametrize(("width", "count"), [(80, 1), (120, 2), (200, 2)])
async def test_the_help_has_two_columns_where_there_is_room(
    launch: Launch, machine: ScriptedMachine, until: Until, width: int, count: int
) -> None:
    app = launch(POSTGRES)
    async with app.run_test(size=(width, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.desk.watched.targets[0].is_armed)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.pause()
        assert len({column.region.x for column in app.screen.query(".column")}) == count
