"""The dashboard on a scripted machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.machine import FrozenClock, Launch, ScriptedMachine, Until
from tui.app import DirtytopApp
from tui.desk import Options
from tui.settings import Settings

_PATIENCE_S = 120.0
"""Far beyond anything, even where the CPU is emulated."""


@pytest.fixture
def machine() -> Iterator[ScriptedMachine]:
    """A machine that goes along with everything."""
    machine = ScriptedMachine()
    yield machine
    machine.release()


@pytest.fixture
def launch(machine: ScriptedMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Makes apps, and sees to it that their threads have ended when the test has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    apps: list[DirtytopApp] = []

    def launch(*pids: int, arm: bool = True, settings: Settings | None = None, **options: Any) -> DirtytopApp:
        options.setdefault("interval_s", 0.2)
        app = DirtytopApp(
            Options(pids, arm=arm, **options), backend=machine, settings=settings, clock=FrozenClock()
        )
        apps.append(app)
        return app

    yield launch
    machine.release()
    for app in apps:
        app.desk.watched.leave_all()
        assert app.desk.watched.join(), "a sampler or a job did not end"


@pytest.fixture
def until() -> Until:
    """Waits until something is so; fails if it never is."""

    async def wait(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, "it never came to that"
            await pilot.pause(0.01)
        await pilot.pause()

    return wait
