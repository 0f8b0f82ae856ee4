"""What each screen looks like, at three sizes; `pytest --snapshot-update` after a wanted change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import textual
from textual.pilot import Pilot

from engine.checkpoint.claim import CLEARED
from engine.checkpoint.link import Engine
from engine.forecast.triggers.armed import Armed
from engine.forecast.triggers.progress import TriggerProgress
from engine.pageset import PageSet
from engine.preflight.finding import Finding, Part, Place, Severity
from engine.tracking.heat import Found, HeatColumn, HeatGrid
from engine.tracking.sample import Event, EventKind, TrackerKind
from tests.tui.driver import POSTGRES, SIZES, TRAINING, Dash, Launch
from tests.tui.machine import ADVICE, CRIU, MAPS, MEMORY, WRITERS, ScriptedMachine
from tests.widgets import scenes
from tui import messages
from tui.directory import DirectoryReport
from tui.screens.links import LinksScreen
from tui.screens.tour import TourScreen
from tui.settings import Settings
from tui.targets.target import Target
from tui.threads.sampler import chart_point
from widgets.area_table import AreaTable
from widgets.heat_map import HeatMap
from widgets.process_table import ProcessTable

MADE_WITH = "8.2.8"
TICKS = 40
TREND = 10
CHAIN = Path("/var/lib/chain")

pytestmark = [
    pytest.mark.skipif(
        textual.__version__ != MADE_WITH, reason=f"the pictures were made with Textual {MADE_WITH}"
    ),
    pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}"),
]

Then = Callable[[Dash], Awaitable[object]]


class Same(Protocol):
    """Whether a dashboard looks as in its picture."""

    def __call__(
        self, *keys: str, pids: tuple[int, ...] = ..., then: Then | None = None, **options: Any
    ) -> bool:
        """Each target is brought to its fortieth tick; keys are pressed; `then` is done."""


@pytest.fixture
def same(
    snap_compare: Callable[..., bool],
    launch: Launch,
    machine: ScriptedMachine,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> Same:
    """With no clock, no disk, no terminal of this machine's own."""
    machine.ticking.clear()
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/state")
    monkeypatch.setattr(
        "tui.screens.dump.place_choice.examine_directory",
        lambda path, _, *, trusts: DirectoryReport(path, "", free_bytes=64 << 30),
    )
    for name in ("COLORTERM", "NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)

    def same(
        *keys: str, pids: tuple[int, ...] = (POSTGRES,), then: Then | None = None, **options: Any
    ) -> bool:
        app = launch(*pids, **{"interval_s": 1.0, **options})

        async def show(pilot: Pilot[Any]) -> None:
            dash = Dash(app, pilot, machine)
            for target in dash.targets:
                await _fill(dash, machine, target)
            for key in keys:
                await _press(dash, key)
            if then is not None:
                await then(dash)
            app.clear_notifications()
            await _settled(dash)

        return snap_compare(app, terminal_size=size, run_before=show)

    return same


async def _fill(dash: Dash, machine: ScriptedMachine, target: Target) -> None:
    await dash.until(lambda: target.facts.is_ready and machine.opened[target.pid].is_armed)
    tracking = machine.opened[target.pid]
    samples = [replace(tracking.sample(number), curve=scenes.curve()) for number in range(TICKS)]
    history, heat = tuple(chart_point(sample, armed=True) for sample in samples), _heat()
    for sample in samples[-TREND:]:
        await dash.tick(sample, ADVICE, target, history=history, heat=heat)


async def _press(dash: Dash, key: str) -> None:
    """What a key opens or makes may take a moment."""
    if key == "d":
        await dash.link(key)
    else:
        await dash.press(key)
        await dash.until(lambda: not dash.is_on(LinksScreen) or dash.one(AreaTable).row_count)


async def _settled(dash: Dash) -> None:
    """Until the picture has stopped changing."""
    before = ""
    while (now := dash.app.export_screenshot()) != before:
        before = now
        await dash.pause(0.2)


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


def test_the_dashboard(same: Same) -> None:
    assert same()


@pytest.mark.parametrize("plot", ["heat", "curve"])
def test_the_dashboard_with_another_view(same: Same, plot: str) -> None:
    assert same(settings=Settings(plot=plot))


def test_the_heat_map_without_colours_with_its_cursor(same: Same, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def look(dash: Dash) -> None:
        dash.one(HeatMap).focus()
        await dash.press("home", "left", "left")

    assert same(then=look, settings=Settings(plot="heat", show_verdict=False))


def test_several_targets(same: Same) -> None:
    assert same(pids=(POSTGRES, TRAINING))


def test_two_targets_side_by_side(same: Same) -> None:
    assert same("C", pids=(POSTGRES, TRAINING))


def test_the_tour(same: Same) -> None:
    async def turn(dash: Dash) -> None:
        await dash.opens(TourScreen, "T")
        await dash.press("right", "right", "right")

    assert same(then=turn)


def test_the_areas_of_a_link(same: Same) -> None:
    assert same("d", "d", "l", "enter", directory=CHAIN)


def test_the_dashboard_with_a_chain(same: Same) -> None:
    assert same("d", "d", directory=CHAIN)


def test_the_dashboard_in_the_light_theme_and_paused(same: Same) -> None:
    assert same("p", theme="dirtytop-light")


def test_the_dump_dialog(same: Same) -> None:
    assert same("d", "D", directory=CHAIN)


def test_the_links_in_full(same: Same) -> None:
    assert same("d", "d", "l", directory=CHAIN)


def test_who_writes(same: Same) -> None:
    async def told(dash: Dash) -> None:
        dash.tell(messages.WritersSeen(WRITERS))
        await dash.until(lambda: dash.facts.writers)

    assert same("W", then=told)


def test_the_help(same: Same) -> None:
    assert same("question_mark")


def test_the_picker(same: Same) -> None:
    async def tag(dash: Dash) -> None:
        await dash.until(lambda: dash.one(ProcessTable).row_count)
        await dash.press("down", "space")

    assert same(pids=(), then=tag, interval_s=0.2)


def test_the_dump_dialog_with_criu_and_a_job_of_a_shell(same: Same, machine: ScriptedMachine) -> None:
    machine.reports = (MEMORY, replace(CRIU, needed_options=("shell-job",)))
    assert same("D", then=_examined, settings=Settings(engine="criu"))


def test_the_dump_dialog_with_what_pre_flight_has_found(same: Same, machine: ScriptedMachine) -> None:
    to_save = "criu has to be told to save connections"
    lost = "its other end is not in the tree, and is closed after a restore"
    findings = (
        _found(Severity.OPTION, "TCP connection", to_save, "`--tcp-established`"),
        _found(Severity.LOST, "pipe", lost, ""),
        _found(Severity.NOTE, "security module", "after a restore it is confined as now", ""),
    )
    why = "io_uring: descriptor 9 of process 40 (postgres): no criu can save it"
    spliced = replace(
        CRIU, engine=Engine.SPLICED, why_no_pre_dump=why, why_no_dump=why, hint="start it without"
    )
    criu = replace(CRIU, needed_options=("tcp-established",), findings=findings)
    machine.reports = (MEMORY, criu, spliced)
    assert same("D", then=_examined, settings=Settings(engine="criu"))


async def _examined(dash: Dash) -> None:
    await dash.until(lambda: dash.facts.engines)


def _found(severity: Severity, title: str, why: str, hint: str) -> Finding:
    option = "tcp-established" if severity is Severity.OPTION else ""
    place = Place(POSTGRES, "postgres", "descriptor 7")
    return Finding(title, severity, Part.CRIU, title, why, hint, (place,), option)


def test_a_chain_of_criu_broken_by_a_foreign_clear(same: Same, machine: ScriptedMachine) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY

    async def clear(dash: Dash) -> None:
        said = "another program, or the process itself, cleared the soft-dirty bits"
        event = Event(EventKind.FOREIGN_CLEAR, POSTGRES, said)
        dash.tell(messages.EventsSeen((event,)))
        live = dash.facts.live
        assert live.sample is not None
        dash.tell(messages.Sampled(live.sample, True, live.history, lent=True, why_full=CLEARED))
        await dash.until(lambda: dash.facts.why_full)

    assert same("d", "d", then=clear, directory=CHAIN)


def test_what_to_wait_for(same: Same) -> None:
    assert same("w")


def test_a_trigger_is_set(same: Same, machine: ScriptedMachine) -> None:
    async def arm(dash: Dash) -> None:
        await dash.go_on()
        await dash.until(lambda: dash.facts.wait is not None and not dash.facts.wait.is_measuring)
        assert dash.facts.wait is not None
        sample = machine.opened[POSTGRES].sample(TICKS)
        advice = replace(
            ADVICE,
            forecast=replace(ADVICE.forecast, time_s=sample.time_s),
            armed=Armed(dash.facts.wait.trigger, sample.time_s - 18),
            gauges=(TriggerProgress("stop 140 ms", "< 100 ms", 0.71),),
        )
        await dash.tick(sample, advice, history=dash.facts.live.history)

    assert same("w", "ctrl+s", then=arm)
