"""The tour: shown once to who has never been here, and never in anybody's way."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from tests.tui.machine import Launch, ScriptedMachine, Until, current, run, toasts
from tui.app import DirtytopApp
from tui.screens.help import HelpScreen
from tui.screens.pick import PickScreen
from tui.screens.tour import CARDS, TourScreen
from tui.screens.watch import WatchScreen
from tui.settings import Settings

POSTGRES = 40
SIZES = [(80, 24), (120, 40), (200, 60)]


def card(app: DirtytopApp) -> str:
    return str(app.screen.query_one("#card", Static).content)


async def test_who_comes_for_the_first_time_is_shown_four_cards(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(greets=True)
    async with run(app) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        for each in CARDS:
            assert card(app).startswith(each.title)
            await pilot.press("right")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
    assert not app.remembered().show_tour


@pytest.mark.parametrize("keys", ["escape", "q", "T"])
async def test_it_is_skipped_for_ever_with_one_key(
    launch: Launch, machine: ScriptedMachine, until: Until, keys: str
) -> None:
    app = launch(greets=True)
    async with run(app) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        await pilot.press(keys)
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
    again = launch(greets=True, settings=app.remembered())
    async with run(again) as pilot:
        await pilot.pause()
        assert isinstance(again.screen, PickScreen)
        assert not toasts(again)


async def test_enter_goes_on_and_left_goes_back(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(greets=True)
    async with run(app) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        await pilot.press("enter")
        await until(pilot, lambda: card(app).startswith(CARDS[1].title))
        await pilot.press("space")
        await until(pilot, lambda: card(app).startswith(CARDS[2].title))
        await pilot.press("left", "left", "left")
        assert card(app).startswith(CARDS[0].title)
        await pilot.click("#next")
        await until(pilot, lambda: card(app).startswith(CARDS[1].title))
        await pilot.click("#skip")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))


async def test_who_named_a_process_is_only_told_of_it_and_only_once(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, greets=True)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        assert isinstance(app.screen, WatchScreen)
        assert "T is a tour" in toasts(app)
    again = launch(POSTGRES, greets=True, settings=app.remembered())
    async with run(again) as pilot:
        await until(pilot, lambda: current(again).live.sample)
        assert not toasts(again)


async def test_it_is_found_again_in_the_help_and_in_the_palette(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(show_tour=False))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert any("tour of four cards" in str(static.content) for static in app.screen.query(Static))
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        await pilot.press("ctrl+p", *"tour")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TourScreen))


@pytest.mark.parametrize("size", SIZES)
async def test_every_card_fits(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(greets=True)
    async with run(app, size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        for number in range(len(CARDS)):
            if number:
                await pilot.press("right")
            await pilot.pause()
            dialog = app.screen.query_one(".tour")
            assert dialog.region.height <= size[1]
            assert not dialog.max_scroll_y
            assert app.screen.query_one("#next").region.bottom < dialog.region.bottom


async def test_a_tour_that_nobody_asked_for_is_not_shown(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch()
    async with run(app) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, PickScreen)
    assert app.remembered().show_tour
