"""The dashboard on a scripted machine, or on this one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tui.driver import Dash, Dashboard, Launch, hear
from tests.tui.machine import FrozenClock, ScriptedMachine
from tui.app import DirtytopApp
from tui.desk import Options
from tui.settings import Settings
from tui.view.facts import Facts


@pytest.fixture
def machine() -> Iterator[ScriptedMachine]:
    """A machine that goes along with everything."""
    machine = ScriptedMachine()
    yield machine
    machine.release()


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def launch(machine: ScriptedMachine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Makes apps, and sees to it that their threads have ended when the test has."""
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    apps: list[DirtytopApp] = []

    def launch(
        *pids: int,
        arm: bool = True,
        real: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> DirtytopApp:
        options.setdefault("interval_s", 0.2)
        scripted: dict[str, Any] = {} if real else {"backend": machine, "clock": FrozenClock()}
        app = DirtytopApp(Options(pids, arm=arm, **options), settings=settings, **scripted)
        apps.append(app)
        hear(app)
        return app

    yield launch
    machine.release()
    for app in apps:
        app.desk.watched.leave_all()
        assert app.desk.watched.join(), "a sampler or a job did not end"


@pytest.fixture
def dashboard(launch: Launch, machine: ScriptedMachine) -> Dashboard:
    """Runs apps, each from the first tick of what it watches on."""

    @asynccontextmanager
    async def dashboard(
        *pids: int, size: tuple[int, int] = (120, 40), real: bool = False, **options: Any
    ) -> AsyncIterator[Dash]:
        app = launch(*pids, real=real, **options)
        arms = app.desk.options.arm and not app.desk.options.readonly

        def is_seen(facts: Facts) -> bool:
            return facts.is_over or (facts.live.sample is not None and facts.is_armed is arms)

        async with app.run_test(size=size, notifications=True, tooltips=True) as pilot:
            dash = Dash(app, pilot, machine)
            if machine.ticking.is_set():
                await dash.until(lambda: all(is_seen(target.facts) for target in dash.targets))
            yield dash
            if real and app.is_running:
                await dash.press("q")
        if real:
            assert app.desk.watched.join(), "a sampler or a job did not end"

    return dashboard
