"""Several targets at once: a line for each, one in focus, and two of them side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from engine.forecast.advisor import Advice
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Plan
from engine.forecast.plans.truth import Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.writes.rhythm import Rhythm
from engine.images.layout import LinkKind
from engine.tracking.sample import Sample
from tests.tui.machine import Launch, ScriptedMachine, Until, current, run, toasts
from tui import messages
from tui.app import DirtytopApp
from tui.screens.compare import CompareScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from tui.target import Target
from tui.told import Told
from widgets.drawing import SpanView
from widgets.side_by_side import SideBySide
from widgets.target_trends import TargetTrends

POSTGRES = 40
TRAINING = 60


def text_of(view: SpanView) -> list[str]:
    lines = view.lines(view.content_size.width, view.content_size.height)
    return ["".join(span.text for span in line) for line in lines]


def advice(stop_s: float) -> Advice:
    dump = LinkForecast(
        LinkKind.DUMP, Estimate.exactly(24_576), Estimate.exactly(1.0), Estimate.exactly(stop_s)
    )
    return Advice(Forecast(1000.0, 0.1, (Plan((dump,)),), verdict=Verdict.DUMP_NOW), Rhythm(), Truth())


def is_shown(target: Target, sample: Sample) -> bool:
    return target.live.sample is sample


async def advise(
    pilot: Pilot[Any], app: DirtytopApp, machine: ScriptedMachine, until: Until, stops_s: dict[int, float]
) -> None:
    """Have one tick of each seen, with that stop foreseen."""
    await until(pilot, lambda: len(machine.opened) == len(stops_s))
    for target in app.desk.watched.targets:
        sample = machine.opened[target.pid].sample(5)
        app.post_message(Told(target, messages.Sampled(sample, True, (), advice=advice(stops_s[target.pid]))))
        await until(pilot, partial(is_shown, target, sample))


async def test_each_of_several_targets_has_a_line_and_a_click_brings_it_into_view(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.commands[TRAINING] = "python3"
    app = launch(POSTGRES, TRAINING)
    async with run(app) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        trends = app.screen.query_one(TargetTrends)
        assert trends.display
        assert not app.screen.query_one(TargetStrip).display
        await until(pilot, lambda: "python3" in text_of(trends)[-1])
        assert text_of(trends)[1].startswith("▸1")
        await pilot.click(TargetTrends, offset=(10, 2))
        await until(pilot, lambda: current(app).pid == TRAINING)
        assert text_of(trends)[2].startswith("▸2")


async def test_a_target_out_of_view_goes_on_in_its_line(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.ticking.clear()
    app = launch(POSTGRES, TRAINING)
    async with run(app) as pilot:
        await advise(pilot, app, machine, until, {POSTGRES: 0.05, TRAINING: 0.4})
        lines = text_of(app.screen.query_one(TargetTrends))
        assert "50 ms" in lines[1]
        assert "400 ms" in lines[2]


@pytest.mark.parametrize(("size", "count"), [((80, 24), 2), ((120, 40), 1)])
async def test_one_target_or_a_low_terminal_needs_no_table_of_targets(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int], count: int
) -> None:
    app = launch(*(POSTGRES, TRAINING)[:count])
    async with run(app, size) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        assert not app.screen.query_one(TargetTrends).display
        assert app.screen.query_one(TargetStrip).display is (count > 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_comparing_says_which_is_harder_to_dump_and_by_how_much(
    launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    machine.ticking.clear()
    app = launch(POSTGRES, TRAINING)
    async with run(app, size) as pilot:
        await advise(pilot, app, machine, until, {POSTGRES: 0.05, TRAINING: 0.4})
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert str(app.screen.query_one("#answer", Static).content) == (
            "postgres 60 is harder to dump: stops for 400 ms against 50 ms"
        )
        lines = text_of(app.screen.query_one(SideBySide))
        stops = next(line for line in lines if line.startswith("stop, as advised"))
        assert stops.split() == ["stop,", "as", "advised", "50", "ms", "400", "ms", "▲"]
        assert stops.index("400 ms") > lines[0].index("postgres 60")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))


async def test_comparing_what_is_not_armed_says_so_and_a_arms_both(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, TRAINING, arm=False)
    async with run(app) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        answer = app.screen.query_one("#answer", Static)
        await until(pilot, lambda: "press a" in str(answer.content))
        await pilot.press("a")
        await until(pilot, lambda: all(target.is_armed for target in app.desk.watched.targets))
        await until(pilot, lambda: "a few more ticks" in str(answer.content))


async def test_nothing_is_said_of_what_is_not_armed(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, TRAINING, arm=False)
    async with run(app) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        lines = text_of(app.screen.query_one(SideBySide))
        within = next(line for line in lines if line.startswith("written within 1 s"))
        assert within.split() == ["written", "within", "1", "s", "–", "–"]


async def test_in_a_low_terminal_each_target_has_its_trend_beside_its_name(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, TRAINING)
    async with run(app, (80, 24)) as pilot:
        strip = app.screen.query_one(TargetStrip)
        await until(pilot, lambda: str(strip.render()).count("▆") >= 2)
        await pilot.click(TargetStrip, offset=(30, 0))
        await until(pilot, lambda: current(app).pid == TRAINING)


async def test_of_more_targets_than_there_is_room_for_the_one_in_view_is_shown(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    pids = range(40, 50)
    machine.commands.update({pid: f"process number {pid}" for pid in pids})
    app = launch(*pids)
    async with run(app, (80, 24)) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: current(app).pid == 49)
        shown = str(app.screen.query_one(TargetStrip).render())
        assert shown.startswith("… ")
        assert "number 49 49 " in shown[:78]


async def test_it_takes_two_to_compare(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("C")
        await until(pilot, lambda: "o picks another" in toasts(app))
        assert isinstance(app.screen, WatchScreen)


async def test_brackets_compare_with_another(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES, TRAINING, 41)
    async with run(app) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert "postgres 60" in text_of(app.screen.query_one(SideBySide))[0]
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "postgres 41" in text_of(app.screen.query_one(SideBySide))[0])
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "postgres 60" in text_of(app.screen.query_one(SideBySide))[0])
