"""What each screen looks like, at three sizes; `pytest --snapshot-update` after a wanted change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import textual
from textual.pilot import Pilot
from textual.widgets import Button

from engine.checkpoint.link import Engine
from engine.forecast.triggers.armed import Armed
from engine.forecast.triggers.progress import TriggerProgress
from engine.pageset import PageSet
from engine.preflight.finding import Finding, Part, Place, Severity
from engine.tracking.heat import Found, HeatColumn, HeatGrid
from engine.tracking.sample import Event, EventKind, Sample, TrackerKind
from tests.tui.machine import ADVICE, CRIU, MAPS, MEMORY, Launch, ScriptedMachine, Until
from tests.widgets import scenes
from tui import messages
from tui.app import DirtytopApp
from tui.directory import DirectoryReport
from tui.sampler import chart_point
from tui.screens.tour import TourScreen
from tui.settings import Settings
from tui.target import Stage, Target
from tui.told import Told
from widgets.area_table import AreaTable
from widgets.heat_map import HeatMap
from widgets.process_table import ProcessTable

MADE_WITH = "8.2.8"
SIZES = [(80, 24), (120, 40), (200, 60)]
TICKS = 40
TREND = 10
POSTGRES = 40
TRAINING = 60

pytestmark = [
    pytest.mark.skipif(
        textual.__version__ != MADE_WITH, reason=f"the pictures were made with Textual {MADE_WITH}"
    ),
    pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}"),
]

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, machine: ScriptedMachine, launch: Launch) -> None:
    """No clock, no disk, no terminal of this machine's own."""
    machine.ticking.clear()
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/state")
    monkeypatch.setattr(
        "tui.screens.dump.examine_directory",
        lambda path, _, *, trusts: DirectoryReport(path, "", free_bytes=64 << 30),
    )
    for name in ("COLORTERM", "NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def _is_shown(target: Target, sample: Sample) -> bool:
    return target.live.sample is sample


def _has_links(target: Target, count: int) -> bool:
    return len(target.links) == count


def _has_areas(app: DirtytopApp) -> bool:
    return bool(app.screen.query(AreaTable)) and app.screen.query_one(AreaTable).row_count > 0


def _has_waited_enough(app: DirtytopApp, key: str) -> bool:
    """What a key opens may have to read something first."""
    return key != "l" or _has_areas(app)


def _heat() -> tuple[HeatColumn, ...]:
    """A hand that walks through the largest mapping, and a burst in an arena now and then."""
    grid = HeatGrid()
    present = PageSet(MAPS.starts, np.minimum(MAPS.ends, MAPS.starts + 60_000))
    large, arena = int(MAPS.starts[3]), int(MAPS.starts[4])

    def written(at: int) -> PageSet:
        hand = large + at * 400 % 50_000
        parts = [PageSet([hand], [hand + 2400])]
        if at % 24 < 6:
            parts.append(PageSet([arena], [arena + 9000]))
        return PageSet.union_all(parts)

    return tuple(
        grid.tick(900.0 + at, 1.0, [Found(POSTGRES, MAPS, present, written(at))]) for at in range(140)
    )


def filled(app: DirtytopApp, machine: ScriptedMachine, until: Until, *keys: str) -> Any:
    """Brings every target to its fortieth tick, then presses these keys."""

    async def fill(pilot: Pilot[Any]) -> None:
        target = app.desk.watched.targets[0]
        for each in app.desk.watched.targets:
            await _tick(pilot, each)
        await press(pilot, target)

    async def _tick(pilot: Pilot[Any], target: Target) -> None:
        await until(pilot, lambda: target.stage is Stage.WATCHED and machine.opened[target.pid].is_armed)
        tracking = machine.opened[target.pid]
        samples = [replace(tracking.sample(number), curve=scenes.curve()) for number in range(TICKS)]
        history, heat = tuple(chart_point(sample, armed=True) for sample in samples), _heat()
        for sample in samples[-TREND:]:
            app.post_message(Told(target, messages.Sampled(sample, True, history, advice=ADVICE, heat=heat)))
            await until(pilot, partial(_is_shown, target, sample))

    async def press(pilot: Pilot[Any], target: Target) -> None:
        for key in keys:
            links = len(target.links) + (key == "d")
            await pilot.press(key)
            await until(pilot, partial(_has_links, target, links))
            await until(pilot, partial(_has_waited_enough, app, key))
        app.clear_notifications()
        await settled(pilot, app)

    return fill


async def settled(pilot: Pilot[Any], app: DirtytopApp) -> None:
    """Until the picture has stopped changing."""
    before = ""
    while (now := app.export_screenshot()) != before:
        before = now
        await pilot.pause(0.2)


def test_the_dashboard(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until))


@pytest.mark.parametrize("plot", ["heat", "curve"])
def test_the_dashboard_with_another_view(
    snap_compare: Compare,
    launch: Launch,
    machine: ScriptedMachine,
    until: Until,
    size: tuple[int, int],
    plot: str,
) -> None:
    app = launch(POSTGRES, interval_s=1.0, settings=Settings(plot=plot))
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until))


def test_the_heat_map_without_colours_with_its_cursor(
    snap_compare: Compare,
    launch: Launch,
    machine: ScriptedMachine,
    until: Until,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = launch(POSTGRES, interval_s=1.0, settings=Settings(plot="heat", show_verdict=False))
    fill = filled(app, machine, until)

    async def looked_at(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        app.screen.query_one(HeatMap).focus()
        await pilot.press("home", "left", "left")
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=looked_at)


def test_several_targets(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, TRAINING, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until))


def test_two_targets_side_by_side(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, TRAINING, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "C"))


def test_the_tour(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    fill = filled(app, machine, until)

    async def turned(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, TourScreen))
        await pilot.press("right", "right", "right")
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=turned)


def test_the_areas_of_a_link(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0, directory=Path("/var/lib/chain"))
    assert snap_compare(
        app, terminal_size=size, run_before=filled(app, machine, until, "d", "d", "l", "enter")
    )


def test_the_dashboard_with_a_chain(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0, directory=Path("/var/lib/chain"))
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "d", "d"))


def test_the_dashboard_in_the_light_theme_and_paused(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0, theme="dirtytop-light")
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "p"))


def test_the_dump_dialog(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0, directory=Path("/var/lib/chain"))
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "d", "D"))


def test_the_links_in_full(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0, directory=Path("/var/lib/chain"))
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "d", "d", "l"))


def test_the_help(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "question_mark"))


def test_the_picker(snap_compare: Compare, launch: Launch, until: Until, size: tuple[int, int]) -> None:
    app = launch()

    async def listed(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.screen.query_one(ProcessTable).row_count)
        await pilot.press("down", "space")
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=listed)


def test_the_dump_dialog_with_criu_and_a_job_of_a_shell(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    machine.reports = (MEMORY, replace(CRIU, needed_options=("shell-job",)))
    app = launch(POSTGRES, interval_s=1.0, settings=Settings(engine="criu"))
    fill = filled(app, machine, until, "D")

    async def examined(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        await until(pilot, lambda: app.desk.watched.targets[0].engines)
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=examined)


def test_the_dump_dialog_with_what_pre_flight_has_found(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    findings = (
        _found(
            Severity.OPTION,
            "TCP connection",
            "criu has to be told to save connections",
            "`--tcp-established`",
        ),
        _found(Severity.LOST, "pipe", "its other end is not in the tree, and is closed after a restore", ""),
        _found(Severity.NOTE, "security module", "after a restore it is confined as now", ""),
    )
    why = "io_uring: descriptor 9 of process 40 (postgres): no criu can save it"
    spliced = replace(
        CRIU, engine=Engine.SPLICED, why_no_pre_dump=why, why_no_dump=why, hint="start it without"
    )
    criu = replace(CRIU, needed_options=("tcp-established",), findings=findings)
    machine.reports = (MEMORY, criu, spliced)
    app = launch(POSTGRES, interval_s=1.0, settings=Settings(engine="criu"))
    fill = filled(app, machine, until, "D")

    async def examined(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        await until(pilot, lambda: app.desk.watched.targets[0].engines)
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=examined)


def _found(severity: Severity, title: str, why: str, hint: str) -> Finding:
    option = "tcp-established" if severity is Severity.OPTION else ""
    place = Place(POSTGRES, "postgres", "descriptor 7")
    return Finding(title, severity, Part.CRIU, title, why, hint, (place,), option)


def test_a_chain_of_criu_broken_by_a_foreign_clear(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    app = launch(POSTGRES, interval_s=1.0, directory=Path("/var/lib/chain"))
    fill = filled(app, machine, until, "d", "d")

    async def broken(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        target = app.desk.watched.targets[0]
        assert target.live.sample is not None
        app.post_message(
            Told(target, messages.Sampled(target.live.sample, True, target.live.history, lent=True))
        )
        await until(pilot, lambda: target.is_lent)
        event = Event(
            EventKind.FOREIGN_CLEAR,
            POSTGRES,
            "another program, or the process itself, cleared the soft-dirty bits",
        )
        app.post_message(Told(target, messages.EventsSeen((event,))))
        await until(pilot, lambda: target.broken)
        app.clear_notifications()
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=broken)


def test_what_to_wait_for(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "w"))


def test_a_trigger_is_set(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    fill = filled(app, machine, until, "w", "ctrl+s")

    async def arm(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        target = app.desk.watched.targets[0]
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: target.wait is not None and not target.wait.is_measuring)
        assert target.wait is not None
        sample = machine.opened[POSTGRES].sample(TICKS)
        armed = Armed(target.wait.trigger, sample.time_s - 18)
        advice = replace(
            ADVICE,
            forecast=replace(ADVICE.forecast, time_s=sample.time_s),
            armed=armed,
            gauges=(TriggerProgress("stop 140 ms", "< 100 ms", 0.71),),
        )
        history = target.live.history
        app.post_message(Told(target, messages.Sampled(sample, True, history, advice=advice)))
        await until(pilot, partial(_is_shown, target, sample))
        await settled(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=arm)
