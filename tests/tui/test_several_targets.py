"""Several targets at once: a line for each, one in focus, and two of them side by side."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from engine.forecast.advisor import Advice
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Plan
from engine.forecast.plans.truth import Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.writes.rhythm import Rhythm
from engine.images.layout import LinkKind
from tests.tui.driver import POSTGRES, SIZES, TRAINING, Dash, Dashboard, lines_of
from tests.tui.machine import ScriptedMachine
from tui.screens.compare import CompareScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from widgets.side_by_side import SideBySide
from widgets.target_trends import TargetTrends


def advice(stop_s: float) -> Advice:
    dump = LinkForecast(
        LinkKind.DUMP, Estimate.exactly(24_576), Estimate.exactly(1.0), Estimate.exactly(stop_s)
    )
    return Advice(Forecast(1000.0, 0.1, (Plan((dump,)),), verdict=Verdict.DUMP_NOW), Rhythm(), Truth())


async def advise(dash: Dash, machine: ScriptedMachine, stops_s: dict[int, float]) -> None:
    """Have one tick of each seen, with that stop foreseen."""
    await dash.until(lambda: len(machine.opened) == len(stops_s))
    for target in dash.targets:
        await dash.tick(machine.opened[target.pid].sample(5), advice(stops_s[target.pid]), target)


async def test_each_of_several_targets_has_a_line_and_a_click_brings_it_into_view(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.commands[TRAINING] = "python3"
    async with dashboard(POSTGRES, TRAINING) as dash:
        trends = dash.one(TargetTrends)
        assert trends.display
        assert not dash.one(TargetStrip).display
        await dash.until(lambda: "python3" in lines_of(trends)[-1])
        assert lines_of(trends)[1].startswith("▸1")
        await dash.click(TargetTrends, offset=(10, 2))
        await dash.until(lambda: dash.facts.pid == TRAINING)
        assert lines_of(trends)[2].startswith("▸2")


async def test_a_target_out_of_view_goes_on_in_its_line(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.ticking.clear()
    async with dashboard(POSTGRES, TRAINING) as dash:
        await advise(dash, machine, {POSTGRES: 0.05, TRAINING: 0.4})
        lines = lines_of(dash.one(TargetTrends))
        assert "50 ms" in lines[1]
        assert "400 ms" in lines[2]


@pytest.mark.parametrize(("size", "count"), [((80, 24), 2), ((120, 40), 1)])
async def test_one_target_or_a_low_terminal_needs_no_table_of_targets(
    dashboard: Dashboard, size: tuple[int, int], count: int
) -> None:
    async with dashboard(*(POSTGRES, TRAINING)[:count], size=size) as dash:
        assert not dash.one(TargetTrends).display
        assert dash.one(TargetStrip).display is (count > 1)


@pytest.mark.parametrize("size", SIZES)
async def test_comparing_says_which_is_harder_to_dump_and_by_how_much(
    dashboard: Dashboard, machine: ScriptedMachine, size: tuple[int, int]
) -> None:
    machine.ticking.clear()
    async with dashboard(POSTGRES, TRAINING, size=size) as dash:
        await advise(dash, machine, {POSTGRES: 0.05, TRAINING: 0.4})
        await dash.opens(CompareScreen, "C")
        assert str(dash.one("#answer", Static).content) == (
            "postgres 60 is harder to dump: stops for 400 ms against 50 ms"
        )
        lines = lines_of(dash.one(SideBySide))
        stops = next(line for line in lines if line.startswith("stop, as advised"))
        assert stops.split() == ["stop,", "as", "advised", "50", "ms", "400", "ms", "▲"]
        assert stops.index("400 ms") > lines[0].index("postgres 60")
        await dash.opens(WatchScreen, "escape")


async def test_comparing_what_is_not_armed_says_so_and_a_arms_both(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING, arm=False) as dash:
        await dash.opens(CompareScreen, "C")
        answer = dash.one("#answer", Static)
        await dash.until(lambda: "press a" in str(answer.content))
        await dash.press("a")
        await dash.until(lambda: all(target.facts.is_armed for target in dash.targets))
        await dash.until(lambda: "a few more ticks" in str(answer.content))


async def test_nothing_is_said_of_what_is_not_armed(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING, arm=False) as dash:
        await dash.opens(CompareScreen, "C")
        lines = lines_of(dash.one(SideBySide))
        within = next(line for line in lines if line.startswith("written within 1 s"))
        assert within.split() == ["written", "within", "1", "s", "–", "–"]


async def test_in_a_low_terminal_each_target_has_its_trend_beside_its_name(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING, size=(80, 24)) as dash:
        strip = dash.one(TargetStrip)
        await dash.until(lambda: str(strip.render()).count("▆") >= 2)
        await dash.click(TargetStrip, offset=(30, 0))
        await dash.until(lambda: dash.facts.pid == TRAINING)


async def test_of_more_targets_than_there_is_room_for_the_one_in_view_is_shown(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    pids = range(40, 50)
    machine.commands.update({pid: f"process number {pid}" for pid in pids})
    async with dashboard(*pids, size=(80, 24)) as dash:
        await dash.press("left_square_bracket")
        await dash.until(lambda: dash.facts.pid == 49)
        shown = str(dash.one(TargetStrip).render())
        assert shown.startswith("… ")
        assert "number 49 49 " in shown[:78]


async def test_it_takes_two_to_compare(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.press("C")
        await dash.sees("o picks another")
        assert dash.is_on(WatchScreen)


async def test_brackets_compare_with_another(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING, 41) as dash:
        await dash.opens(CompareScreen, "C")
        assert "postgres 60" in lines_of(dash.one(SideBySide))[0]
        await dash.press("right_square_bracket")
        await dash.until(lambda: "postgres 41" in lines_of(dash.one(SideBySide))[0])
        await dash.press("right_square_bracket")
        await dash.until(lambda: "postgres 60" in lines_of(dash.one(SideBySide))[0])
