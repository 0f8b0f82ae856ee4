"""What each screen looks like, at three sizes; `pytest --snapshot-update` after a wanted change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import textual
from textual.pilot import Pilot
from textual.widgets import Button

from engine.forecast.gauge import Gauge
from engine.forecast.trigger import Armed
from engine.tracking.sample import Event, EventKind, Sample, TrackerKind
from tests.tui.machine import ADVICE, CRIU, MEMORY, Launch, ScriptedMachine, Until
from tui import messages
from tui.app import DirtytopApp
from tui.directory import DirectoryReport
from tui.sampler import chart_point
from tui.settings import Settings
from tui.target import Stage, Target
from widgets.process_table import ProcessTable

MADE_WITH = "8.2.8"
SIZES = [(80, 24), (120, 40), (200, 60)]
TICKS = 40
TREND = 10
POSTGRES = 40

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
        "tui.screens.dump.examine_directory", lambda path, _: DirectoryReport(path, "", free_bytes=64 << 30)
    )
    for name in ("COLORTERM", "NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def _is_shown(target: Target, sample: Sample) -> bool:
    return target.live.sample is sample


def _has_links(target: Target, count: int) -> bool:
    return len(target.links) == count


def filled(app: DirtytopApp, machine: ScriptedMachine, until: Until, *keys: str) -> Any:
    """Brings the dashboard to its fortieth tick, then presses these keys."""

    async def fill(pilot: Pilot[Any]) -> None:
        target = app.desk.watched.targets[0]
        await until(pilot, lambda: target.stage is Stage.WATCHED and machine.opened[target.pid].is_armed)
        tracking = machine.opened[target.pid]
        samples = [tracking.sample(number) for number in range(TICKS)]
        history = tuple(chart_point(sample, armed=True) for sample in samples)
        for sample in samples[-TREND:]:
            app.post_message(messages.Sampled(target, sample, True, history, advice=ADVICE))
            await until(pilot, partial(_is_shown, target, sample))
        for key in keys:
            links = len(target.links) + (key == "d")
            await pilot.press(key)
            await until(pilot, partial(_has_links, target, links))
        app.clear_notifications()
        await pilot.pause()
        await pilot.pause(0.2)

    return fill


def test_the_dashboard(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until))


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
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=listed)


def test_the_dump_dialog_with_criu_and_a_job_of_a_shell(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    machine.reports = (MEMORY, replace(CRIU, needs_shell_job=True))
    app = launch(POSTGRES, interval_s=1.0, settings=Settings(engine="criu"))
    fill = filled(app, machine, until, "D")

    async def examined(pilot: Pilot[Any]) -> None:
        await fill(pilot)
        await until(pilot, lambda: app.desk.watched.targets[0].engines)
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=examined)


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
        app.post_message(messages.Sampled(target, target.live.sample, True, target.live.history, lent=True))
        await until(pilot, lambda: target.is_lent)
        event = Event(EventKind.FOREIGN_CLEAR, POSTGRES, "another program cleared the soft-dirty bits")
        app.post_message(messages.EventsSeen(target, (event,)))
        await until(pilot, lambda: target.broken)
        app.clear_notifications()
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=broken)


def test_what_to_wait_for(
    snap_compare: Compare, launch: Launch, machine: ScriptedMachine, until: Until, size: tuple[int, int]
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    assert snap_compare(app, terminal_size=size, run_before=filled(app, machine, until, "w"))


def test_a_trigger_is_armed(
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
            gauges=(Gauge("stop 140 ms", "< 100 ms", 0.71),),
        )
        history = target.live.history
        app.post_message(messages.Sampled(target, sample, True, history, advice=advice))
        await until(pilot, partial(_is_shown, target, sample))
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=arm)
