"""The panels that help to decide: what is foreseen is what they show."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from engine.checkpoint.link import Engine
from engine.errors import LinkFailed
from engine.tracking.sample import Sample
from tests.tui.machine import ADVICE, Launch, ScriptedMachine, Until, current, run, toasts
from tui import messages
from tui.app import DirtytopApp
from tui.settings import Settings
from tui.target import Target
from tui.told import Told
from widgets.big_letters import big_word, huge_word
from widgets.curve_chart import CurveChart
from widgets.heat_map import HeatMap
from widgets.rate_chart import RateChart
from widgets.verdict_panel import VerdictPanel
from widgets.vma_rows import VmaIdentity
from widgets.vma_table import VmaTable

POSTGRES = 40


def is_shown(target: Target, sample: Sample) -> bool:
    return target.live.sample is sample


async def show(pilot: Pilot[Any], app: DirtytopApp, machine: ScriptedMachine, until: Until) -> None:
    """Have one tick seen, with that advice."""
    target = current(app)
    await until(pilot, lambda: POSTGRES in machine.opened and machine.opened[POSTGRES].is_armed)
    sample = machine.opened[POSTGRES].sample(5)
    app.post_message(Told(target, messages.Sampled(sample, True, (), advice=ADVICE)))
    await until(pilot, partial(is_shown, target, sample))


def said(app: DirtytopApp) -> str:
    panel = app.screen.query_one(VerdictPanel)
    lines = panel.lines(panel.content_size.width, panel.content_size.height)
    return "\n".join("".join(span.text for span in line) for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_dashboard_says_what_a_dump_would_cost(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    machine.ticking.clear()
    app = launch(POSTGRES)
    async with run(app, size) as pilot:
        await show(pilot, app, machine, until)
        assert "dump now: stops for 40 ms" in said(app)
        spell = huge_word if size == (200, 60) else big_word
        for word in ("DUMP NOW", "40", "96.0"):
            assert spell(word)[1] in said(app), "in large letters, whatever the size"


async def test_five_hides_the_verdict_and_shows_it_again(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        panel = app.screen.query_one(VerdictPanel)
        await pilot.press("5")
        await until(pilot, lambda: not panel.display)
        assert not app.desk.settings.show_verdict
        await pilot.press("5")
        await until(pilot, lambda: panel.display)


async def test_the_stop_budget_is_changed_by_keys_kept_and_shown(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(stop_budget_s=0.1))
    async with run(app) as pilot:
        panel = app.screen.query_one(VerdictPanel)
        await until(pilot, lambda: "stop budget 100 ms" in str(panel.border_subtitle))
        await pilot.press("b", "b")
        await until(pilot, lambda: "stop budget 20 ms" in str(panel.border_subtitle))
        sampler = current(app).sampler
        assert sampler is not None
        assert sampler.advisor.advise(datetime.now()).forecast.budget_s == 0.02
        await pilot.press("B")
        await until(pilot, lambda: "stop budget 50 ms" in str(panel.border_subtitle))
        assert app.remembered().stop_budget_s == 0.05
        assert "Stop budget 20 ms" in toasts(app)


async def test_arming_has_the_costs_found_out_where_the_first_chain_would_go(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, arm=False, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        assert not machine.calibrated
        await pilot.press("a")
        await until(pilot, lambda: machine.calibrated)
        assert machine.calibrated[0].directory == tmp_path / "chain"
        assert machine.calibrated[0].engine is Engine.MEMORY


async def test_read_only_writes_nothing_to_find_out_costs(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, readonly=True)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        app.desk.foresee(current(app))
    assert app.desk.watched.join()
    assert not machine.calibrated


async def test_a_disk_that_takes_nothing_is_told_of_and_ticks_go_on(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.calibration_error = LinkFailed("/full: too little space is left there")
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: any("/full: too little space" in line.text for line in current(app).log))
        seen = current(app).live.sample
        await until(pilot, lambda: current(app).live.sample is not seen)


def is_alone(app: DirtytopApp, kind: type[Widget]) -> bool:
    """Whether that is the one of the three which is shown."""
    shown = [each for each in (RateChart, HeatMap, CurveChart) if app.screen.query_one(each).display]
    return shown == [kind]


async def test_v_goes_from_rates_to_memory_over_time_to_the_curve_and_back(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.heat)
        for kind in (HeatMap, CurveChart, RateChart):
            await pilot.press("v")
            await until(pilot, partial(is_alone, app, kind))
        assert app.desk.settings.plot == "chart"


async def test_one_hides_whichever_stands_in_the_place_of_the_chart(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(plot="heat"))
    async with run(app) as pilot:
        await until(pilot, partial(is_alone, app, HeatMap))
        await pilot.press("1")
        await until(pilot, lambda: not app.screen.query_one(HeatMap).display)
        await pilot.press("v")
        await until(pilot, partial(is_alone, app, CurveChart))


async def test_what_is_chosen_in_the_heat_map_is_where_the_table_goes(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(plot="heat"))
    async with run(app) as pilot:
        await until(pilot, lambda: app.screen.query_one(VmaTable).row_count)
        table, heat_map = app.screen.query_one(VmaTable), app.screen.query_one(HeatMap)
        heat_map.focus()
        stack = VmaIdentity(POSTGRES, 0x7FFD00000000)
        assert table.cursor_identity != stack
        heat_map.post_message(HeatMap.Chosen(heat_map, stack))
        await until(pilot, lambda: table.cursor_identity == stack)
        assert table.has_focus


async def test_arming_anew_begins_a_new_heat_map(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: len(current(app).live.heat) >= 4)
        machine.ticking.clear()
        await pilot.press("a")
        machine.ticking.set()
        await until(pilot, lambda: len(current(app).live.heat) < 4)
