"""Triggers in the dashboard on real processes: they fire when it is the case, and end in a sound chain."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.workloads import start
from tests.cli.shell import is_untouched
from tests.targets.scripted import ScriptedTarget
from tests.tui.machine import Until, current, run, toasts
from tui.app import DirtytopApp
from tui.desk import Options
from tui.screens.choice import Choice
from tui.screens.dump import DumpScreen
from tui.screens.when import WhenScreen

BURSTS = {"cold_pages": 500, "hot_pages": 4000, "pages_per_s": 20_000, "burst_ms": 1500, "quiet_ms": 2500}
Arm = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")


@pytest.fixture
def arm(until: Until) -> Arm:
    """Sets a trigger as a user would."""

    async def arm(
        pilot: Pilot[Any], app: DirtytopApp, kind: str, value: str, *, limit: str = "", gives_up: bool = False
    ) -> None:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, WhenScreen))
        app.screen.query_one(f"#kind-{kind}", Choice).value = True
        app.screen.query_one(f"#{kind}", Input).value = value
        app.screen.query_one("#deadline", Input).value = limit
        app.screen.query_one("#then-GIVE_UP", Choice).value = gives_up
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).wait is not None or current(app).links)

    return arm


def is_over(app: DirtytopApp) -> bool:
    return current(app).wait is None and not current(app).is_busy


def chain_of(app: DirtytopApp) -> Path:
    directory = current(app).directory
    assert directory is not None
    return directory


@pytest.mark.parametrize("interval_s", [0.2, 60.0])
async def test_it_dumps_once_the_stop_is_short_enough_however_seldom_ticks_are_shown(
    target: ScriptedTarget, until: Until, arm: Arm, interval_s: float
) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=interval_s))
    async with run(app) as pilot:
        await arm(pilot, app, "stop", "1h")
        await until(pilot, lambda: current(app).links)
        await until(pilot, lambda: is_over(app))
        directory = chain_of(app)
        probes = [line.text for line in current(app).log if "in a file without a name" in line.text]
        await pilot.press("q")
    assert app.desk.watched.join()
    assert len(probes) == 1, "a disk is probed once, and that is said"
    chain = read_chain(directory)
    assert chain.links[-1].kind is LinkKind.DUMP
    assert verify(chain) == ()
    assert is_untouched(target.pid)


async def test_it_dumps_in_the_lull(until: Until, arm: Arm) -> None:
    with start("bursts", **BURSTS) as workload:
        app = DirtytopApp(Options((workload.pid,), arm=True, interval_s=0.5))
        async with run(app) as pilot:
            await arm(pilot, app, "quiet", "1s")
            await until(pilot, lambda: current(app).links)
            assert any("dump, quiet for " in line.text for line in current(app).log)
            await pilot.press("q")
        assert app.desk.watched.join()


async def test_it_pre_dumps_so_often_and_ends_with_a_dump(until: Until, arm: Arm) -> None:
    with start("steady", cold_pages=3000, hot_pages=300, pages_per_s=3000) as workload:
        app = DirtytopApp(Options((workload.pid,), arm=True, interval_s=0.5))
        async with run(app) as pilot:
            await arm(pilot, app, "every", "500ms", limit="20s")
            await until(pilot, lambda: current(app).links and is_over(app))
            directory = chain_of(app)
            await pilot.press("q")
        assert app.desk.watched.join()
    chain = read_chain(directory)
    kinds = [link.kind for link in chain.links]
    assert kinds == [*[LinkKind.PRE_DUMP] * (len(kinds) - 1), LinkKind.DUMP]
    assert len(kinds) > 1
    assert verify(chain) == ()


async def test_at_the_deadline_it_gives_up_and_leaves_nothing(
    target: ScriptedTarget, until: Until, arm: Arm, tmp_path: Path
) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.2))
    async with run(app) as pilot:
        await arm(pilot, app, "quiet", "1h", limit="1s", gives_up=True)
        await until(pilot, lambda: "the deadline has come, and no dump is made" in toasts(app))
        assert is_over(app)
        await pilot.press("q")
    assert app.desk.watched.join()
    assert not list((tmp_path / "state").rglob("*.img"))


async def test_a_target_that_is_killed_meanwhile_cancels_it(
    target: ScriptedTarget, until: Until, arm: Arm
) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.2))
    async with run(app) as pilot:
        await arm(pilot, app, "quiet", "1h")
        os.kill(target.pid, signal.SIGKILL)
        await until(pilot, lambda: "the target has exited, and nothing was dumped" in toasts(app))
        assert is_over(app)
        await pilot.press("q")
    assert app.desk.watched.join()


async def test_a_target_that_starts_another_program_is_waited_for_all_the_same(
    target: ScriptedTarget, until: Until, arm: Arm
) -> None:
    app = DirtytopApp(Options((target.pid,), arm=True, interval_s=0.2))
    async with run(app) as pilot:
        await arm(pilot, app, "quiet", "1h", limit="4s")
        target.exec_sleep()
        await until(pilot, lambda: any("another program" in line.text for line in current(app).log))
        assert current(app).wait is not None
        await until(pilot, lambda: current(app).links)
        directory = chain_of(app)
        await pilot.press("q")
    assert app.desk.watched.join()
    assert verify(read_chain(directory)) == ()
