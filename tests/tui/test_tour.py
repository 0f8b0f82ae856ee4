"""The tour: shown once to who has never been here, and never in anybody's way."""

from __future__ import annotations

import pytest

from tests.tui.driver import POSTGRES, SIZES, Dashboard
from tui.screens.help import HelpScreen
from tui.screens.pick import PickScreen
from tui.screens.tour import CARDS, TourScreen
from tui.screens.watch import WatchScreen
from tui.settings import Settings


async def test_who_comes_for_the_first_time_is_shown_four_cards(dashboard: Dashboard) -> None:
    async with dashboard(greets=True) as dash:
        await dash.opens(TourScreen)
        for each in CARDS:
            await dash.sees(each.title)
            await dash.press("right")
        await dash.opens(PickScreen)
    assert not dash.app.remembered().show_tour


@pytest.mark.parametrize("keys", ["escape", "q", "T"])
async def test_it_is_skipped_for_ever_with_one_key(dashboard: Dashboard, keys: str) -> None:
    async with dashboard(greets=True) as dash:
        await dash.opens(TourScreen)
        await dash.opens(PickScreen, keys)
    async with dashboard(greets=True, settings=dash.app.remembered()) as again:
        await again.pause()
        assert again.is_on(PickScreen)
        assert not again.toasts


async def test_enter_goes_on_and_left_goes_back(dashboard: Dashboard) -> None:
    async with dashboard(greets=True) as dash:
        await dash.opens(TourScreen)
        await dash.press("enter")
        await dash.sees(CARDS[1].title)
        await dash.press("space")
        await dash.sees(CARDS[2].title)
        await dash.press("left", "left", "left")
        await dash.sees(CARDS[0].title)
        await dash.click("#next")
        await dash.sees(CARDS[1].title)
        await dash.click("#skip")
        await dash.opens(PickScreen)


async def test_who_named_a_process_is_only_told_of_it_and_only_once(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, greets=True) as dash:
        assert dash.is_on(WatchScreen)
        assert "T is a tour" in dash.toasts
    async with dashboard(POSTGRES, greets=True, settings=dash.app.remembered()) as again:
        assert not again.toasts


async def test_it_is_found_again_in_the_help_and_in_the_palette(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(show_tour=False)) as dash:
        await dash.opens(HelpScreen, "question_mark")
        await dash.sees("tour of four cards")
        await dash.opens(TourScreen, "T")
        await dash.opens(WatchScreen, "escape")
        await dash.press("ctrl+p", *"tour")
        await dash.pause(0.5)
        await dash.opens(TourScreen, "enter")


@pytest.mark.parametrize("size", SIZES)
async def test_every_card_fits(dashboard: Dashboard, size: tuple[int, int]) -> None:
    async with dashboard(greets=True, size=size) as dash:
        await dash.opens(TourScreen)
        for number in range(len(CARDS)):
            if number:
                await dash.press("right")
            await dash.pause()
            dialog = dash.one(".tour")
            assert dialog.region.height <= size[1]
            assert not dialog.max_scroll_y
            assert dash.one("#next").region.bottom < dialog.region.bottom


async def test_a_tour_that_nobody_asked_for_is_not_shown(dashboard: Dashboard) -> None:
    async with dashboard() as dash:
        await dash.pause()
        assert dash.is_on(PickScreen)
    assert dash.app.remembered().show_tour
