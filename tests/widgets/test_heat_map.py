"""The heat map: its colours, its rows, its cursor and its zoom."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme
from textual.widget import Widget

from engine.kernel.maps import Maps, parse_line
from engine.pageset import PageSet
from engine.tracking.heat import Found, HeatGrid
from engine.tracking.sample import Sample
from tests.widgets import scenes
from tests.widgets.stage import MAPS, Stage, sample_of
from tui.theme import THEMES
from widgets.heat_map import HeatMap
from widgets.heat_picture import HeatPicture, hottest_part
from widgets.heat_ramp import LEVEL_BYTES_PER_S, levels_of, ramp
from widgets.vma_rows import VmaIdentity

ALL_THEMES = [theme for theme in (*THEMES, *BUILTIN_THEMES.values()) if not theme.ansi]


def luminance(colour: Color) -> float:
    """Relative luminance as of WCAG 2, with the 0.05 that its contrast ratios add."""
    parts = [part / 255 for part in colour.rgb]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05


@pytest.mark.parametrize("theme", ALL_THEMES, ids=lambda theme: theme.name)
def test_colours_go_evenly_away_from_the_background_in_every_theme(theme: Theme) -> None:
    variables = theme.to_color_system().generate()
    ground, cold, hot = (Color.parse(variables[name]) for name in ("background", "primary", "accent"))
    steps = [luminance(colour) for colour in (ground, *ramp(ground, cold, hot))]
    ratios = [after / before for before, after in pairwise(steps)]
    assert all(ratio > 1.1 for ratio in ratios) or all(ratio < 1 / 1.1 for ratio in ratios)


def test_levels_are_fixed_and_anything_written_is_on_one() -> None:
    rates = np.array([math.nan, 0.0, 1.0, *LEVEL_BYTES_PER_S, 1e12])
    assert levels_of(rates).tolist() == [-1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]


def test_every_written_byte_is_in_some_row() -> None:
    history = scenes.heat_of(MAPS, 10)
    picture = HeatPicture.of(history, 37, 10)
    assert picture.rates.shape == (37, 10)
    for at, column in enumerate(history):
        assert picture.rates[:, at].sum() == pytest.approx(float(column.pages.sum()) * 4096)


def test_the_hottest_part_holds_what_was_written_most() -> None:
    history = scenes.heat_of(MAPS, 10)
    zoom = hottest_part(history, 20)
    assert zoom is not None
    arena = int(MAPS.starts[scenes.ARENA])
    assert arena <= zoom.first.page < arena + 25_000
    assert HeatPicture.of(history, 40, 10, zoom).row_count == 20


def text_of(widget: Widget) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.content_size.height)]


@pytest.fixture
def sample() -> Sample:
    return sample_of((MAPS, [0, 0, 0, 400, 0, 0, 3000, 300, *[0] * 7]))


async def test_an_empty_map_says_what_to_press() -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(80, 24)):
        assert "Press a to arm" in " ".join(text_of(heat_map))


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (50, 8), (20, 5), (6, 4)])
async def test_every_line_is_as_wide_as_the_widget(size: tuple[int, int], sample: Sample) -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=size):
        for digits in (False, True):
            heat_map.digits = digits
            heat_map.show_history(scenes.heat_of(MAPS, 30), sample)
            strips = [heat_map.render_line(y) for y in range(heat_map.content_size.height)]
            assert {strip.cell_length for strip in strips} == {heat_map.content_size.width}


async def test_seven_lines_have_room_for_axis_legend_and_readout(sample: Sample) -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(48, 9)):
        heat_map.show_history(scenes.heat_of(MAPS), sample)
        axis, readout, legend = text_of(heat_map)[-3:]
        assert axis.rstrip().endswith("now")
        assert "malloc" in readout
        assert "now" in readout
        assert "256 MiB/s" in legend


async def test_the_frame_says_how_to_look_closer_and_once_there_with_what(sample: Sample) -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(100, 20)) as pilot:
        heat_map.show_history(scenes.heat_of(MAPS), sample)
        heat_map.screen.set_focus(None)
        await pilot.pause()
        assert "Tab goes here" in str(heat_map.border_subtitle)
        heat_map.focus()
        await pilot.pause()
        assert "f zooms in" in str(heat_map.border_subtitle)
        await pilot.press("f")
        assert "F shows all" in str(heat_map.border_subtitle)


async def test_without_colours_there_are_digits(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(80, 24)):
        heat_map.show_history(scenes.heat_of(MAPS, 30), sample)
        text = "".join(text_of(heat_map))
        assert "▀" not in text
        assert "7777" in text


async def test_the_cursor_names_mapping_rate_and_age_and_enter_chooses_it(sample: Sample) -> None:
    heat_map = HeatMap()
    chosen: list[HeatMap.Chosen] = []
    app = Stage(heat_map)
    async with app.run_test(size=(160, 40), message_hook=_keep(chosen)) as pilot:
        heat_map.show_history(scenes.heat_of(MAPS, 30), sample)
        heat_map.focus()
        await pilot.press("home", "left", "left")
        readout = text_of(heat_map)[-2]
        assert "[anon:glibc: malloc]" in readout
        assert "KiB/s 2.0 s ago   written in the last tick" in readout
        await pilot.press("enter")
    arena = VmaIdentity(scenes.PID, MAPS.vmas[scenes.ARENA].start)
    assert [message.identity for message in chosen] == [arena]


def _keep(chosen: list[HeatMap.Chosen]) -> Callable[[object], None]:
    def keep(message: object) -> None:
        # Each node that it passes shows it.
        if isinstance(message, HeatMap.Chosen) and message not in chosen:
            chosen.append(message)

    return keep


async def test_a_click_moves_the_cursor_there(sample: Sample) -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(120, 40)) as pilot:
        heat_map.show_history(scenes.heat_of(MAPS, 60), sample)
        await pilot.pause()
        await pilot.click(heat_map, offset=(100, 3))
        assert heat_map.cursor_identity == VmaIdentity(scenes.PID, MAPS.vmas[scenes.HEAP].start)


async def test_zooming_shows_less_memory_and_back_all_of_it(sample: Sample) -> None:
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(120, 40)) as pilot:
        heat_map.show_history(scenes.heat_of(MAPS, 60), sample)
        heat_map.focus()
        await pilot.press("f")
        assert heat_map.is_zoomed
        assert heat_map.cursor_identity == VmaIdentity(scenes.PID, MAPS.vmas[scenes.ARENA].start)
        await pilot.press("F")
        assert not heat_map.is_zoomed


async def test_the_cursor_stays_on_its_memory_while_columns_come(sample: Sample) -> None:
    heat_map = HeatMap()
    history = scenes.heat_of(MAPS, 60)
    async with Stage(heat_map).run_test(size=(120, 40)) as pilot:
        heat_map.show_history(history[:50], sample)
        heat_map.focus()
        await pilot.press("home")
        before = heat_map.cursor_identity
        heat_map.show_history(history, sample)
        assert heat_map.cursor_identity == before


async def test_sixty_five_thousand_mappings_are_shown() -> None:
    lines = [f"{0x7F0000000000 + at * 0x2000:x}-{0x7F0000001000 + at * 0x2000:x}" for at in range(65_000)]
    maps = Maps.of(tuple(parse_line(f"{line} rw-p 00000000 00:00 0 ".encode()) for line in lines))
    grid = HeatGrid()
    written = PageSet.from_pages(maps.starts[1000:3000])
    history = [grid.tick(at, 1.0, [Found(4242, maps, maps.pages, written)]) for at in range(5)]
    sample = sample_of((maps, [int(1000 <= at < 3000) for at in range(65_000)]))
    heat_map = HeatMap()
    async with Stage(heat_map).run_test(size=(120, 40)):
        heat_map.show_history(history, sample)
        assert "and" in text_of(heat_map)[-2]
        assert "more" in text_of(heat_map)[-2]
