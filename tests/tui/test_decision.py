"""The panels that help to decide: what is foreseen is what they show."""

from __future__ import annotations

from datetime import datetime

import pytest
from textual.widget import Widget

from engine.checkpoint.link import Engine
from engine.errors import LinkFailed
from tests.tui.driver import CHAIN, POSTGRES, SIZES, Dash, Dashboard, lines_of
from tests.tui.machine import ADVICE, ScriptedMachine
from tui.settings import Settings
from widgets.big_letters import big_word, huge_word
from widgets.curve_chart import CurveChart
from widgets.heat_map import HeatMap
from widgets.rate_chart import RateChart
from widgets.verdict_panel import VerdictPanel
from widgets.vma_rows import VmaIdentity
from widgets.vma_table import VmaTable


@pytest.mark.parametrize("size", SIZES)
async def test_the_dashboard_says_what_a_dump_would_cost(
    dashboard: Dashboard, machine: ScriptedMachine, size: tuple[int, int]
) -> None:
    machine.ticking.clear()
    async with dashboard(POSTGRES, size=size) as dash:
        await dash.until(lambda: POSTGRES in machine.opened and machine.opened[POSTGRES].is_armed)
        await dash.tick(machine.opened[POSTGRES].sample(5), ADVICE)
        said = "\n".join(lines_of(dash.one(VerdictPanel)))
        assert "dump now: stops for 40 ms" in said
        spell = huge_word if size == (200, 60) else big_word
        for word in ("DUMP NOW", "40", "96.0"):
            assert spell(word)[1] in said, "in large letters, whatever the size"


async def test_five_hides_the_verdict_and_shows_it_again(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        panel = dash.one(VerdictPanel)
        await dash.press("5")
        await dash.until(lambda: not panel.display)
        assert not dash.app.desk.settings.show_verdict
        await dash.press("5")
        await dash.until(lambda: panel.display)


async def test_the_stop_budget_is_changed_by_keys_kept_and_shown(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(stop_budget_s=0.1)) as dash:
        panel = dash.one(VerdictPanel)
        await dash.until(lambda: "stop budget 100 ms" in str(panel.border_subtitle))
        await dash.press("b", "b")
        await dash.until(lambda: "stop budget 20 ms" in str(panel.border_subtitle))
        sampler = dash.target.sampler
        assert sampler is not None
        assert sampler.advisor.advise(datetime.now()).forecast.budget_s == 0.02
        await dash.press("B")
        await dash.until(lambda: "stop budget 50 ms" in str(panel.border_subtitle))
        assert dash.app.remembered().stop_budget_s == 0.05
        assert "Stop budget 20 ms" in dash.toasts


async def test_arming_has_the_costs_found_out_where_the_first_chain_would_go(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False, directory=CHAIN) as dash:
        assert not dash.machine.calibrated
        await dash.press("a")
        await dash.until(lambda: dash.machine.calibrated)
        assert dash.machine.calibrated[0].directory == CHAIN
        assert dash.machine.calibrated[0].engine is Engine.MEMORY


async def test_read_only_writes_nothing_to_find_out_costs(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, readonly=True) as dash:
        dash.app.desk.foresee(dash.target)
    assert not dash.machine.calibrated


async def test_a_disk_that_takes_nothing_is_told_of_and_ticks_go_on(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.calibration_error = LinkFailed("/full: too little space is left there")
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: "/full: too little space" in dash.log)
        seen = dash.facts.live.sample
        await dash.until(lambda: dash.facts.live.sample is not seen)


async def alone(dash: Dash, kind: type[Widget]) -> None:
    """Wait until that is the one of the three which is shown."""
    await dash.until(
        lambda: [each for each in (RateChart, HeatMap, CurveChart) if dash.one(each).display] == [kind]
    )


async def test_v_goes_from_rates_to_memory_over_time_to_the_curve_and_back(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: dash.facts.live.heat)
        for kind in (HeatMap, CurveChart, RateChart):
            await dash.press("v")
            await alone(dash, kind)
        assert dash.app.desk.settings.plot == "chart"


async def test_one_hides_whichever_stands_in_the_place_of_the_chart(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(plot="heat")) as dash:
        await alone(dash, HeatMap)
        await dash.press("1")
        await dash.until(lambda: not dash.one(HeatMap).display)
        await dash.press("v")
        await alone(dash, CurveChart)


async def test_what_is_chosen_in_the_heat_map_is_where_the_table_goes(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(plot="heat")) as dash:
        await dash.until(lambda: dash.one(VmaTable).row_count)
        table, heat_map = dash.one(VmaTable), dash.one(HeatMap)
        heat_map.focus()
        stack = VmaIdentity(POSTGRES, 0x7FFD00000000)
        assert table.cursor_identity != stack
        heat_map.post_message(HeatMap.Chosen(heat_map, stack))
        await dash.until(lambda: table.cursor_identity == stack)
        assert table.has_focus


async def test_arming_anew_begins_a_new_heat_map(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: len(dash.facts.live.heat) >= 4)
        dash.machine.ticking.clear()
        await dash.press("a")
        dash.machine.ticking.set()
        await dash.until(lambda: len(dash.facts.live.heat) < 4)
