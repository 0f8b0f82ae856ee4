"""Makes the pictures of the README: the real dashboard, without a terminal, on real workloads.

    python -m screenshots.make [DIRECTORY]

Nothing is staged but the list of processes, which names only the workloads, without this machine's
paths. The tour is one run: a picture of each of its phases, and all of it as an animation. Takes about
two minutes.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from textual.pilot import Pilot
from textual.widgets import Input

from engine.checkpoint.link import Engine
from engine.processes import ProcessRow
from engine.workloads import Workload, start
from engine.workloads.tour import TOUR_STOP_BUDGET_S, Tour
from screenshots.animation import Animation
from tui.app import DirtytopApp
from tui.backend import EngineBackend
from tui.commands.tour import QUICK
from tui.desk import Options
from tui.screens.choice import Choice
from widgets.process_table import ProcessTable

_SIZE: Final = (120, 36)
_FRAME_S: Final = 0.5
_PATIENCE_S: Final = 60.0
_WATCHED: Final = "bursts"
_OTHERS: Final = ("steady", "growing", "sparse", "fork-tree")


class _OnlyWorkloads(EngineBackend):
    """The engine, on a machine where nothing but the workloads seems to run."""

    def __init__(self, workloads: list[Workload]) -> None:
        super().__init__()
        self._roots = {workload.pid for workload in workloads}

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """The workloads and their children."""
        rows = super().list_processes()
        shown = [row for row in rows if row.pid in self._roots or row.parent_pid in self._roots]
        return tuple(replace(row, command=re.sub(r"\S*/", "", row.command)) for row in shown)


async def main(directory: Path) -> None:
    """Run the workloads, and take pictures of the picker and of a whole checkpoint."""
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dirtytop-")))
        os.environ["XDG_STATE_HOME"] = str(scratch)
        watched = stack.enter_context(start(_WATCHED))
        workloads = [watched, *(stack.enter_context(start(name)) for name in _OTHERS)]
        await _picker(_OnlyWorkloads(workloads), directory)
        for workload in workloads[1:]:
            workload.stop()
        await _checkpoint(watched.pid, scratch / "chain", directory)
        watched.stop()
        tour = stack.enter_context(Tour(**QUICK | {"quiet_ms": 10_000}))
        await _tour(tour, scratch / "tour", directory)


async def _picker(backend: EngineBackend, directory: Path) -> None:
    app = DirtytopApp(Options(), backend=backend)
    async with app.run_test(size=_SIZE, notifications=True) as pilot:
        table = app.screen.query_one(ProcessTable)
        await _until(pilot, lambda: table.row_count)
        await pilot.pause(5.0)  # CPU use is told from the second look on
        await pilot.press("down", "space")
        _save(app, directory / "pick.svg")


async def _checkpoint(pid: int, chain: Path, directory: Path) -> None:
    app = DirtytopApp(Options((pid,), True, 0.5, directory=chain, engine=Engine.MEMORY))
    async with app.run_test(size=_SIZE, notifications=True) as pilot:
        target = app.desk.watched.targets[0]
        await _until(pilot, lambda: len(target.facts.live.history) > 50)
        _save(app, directory / "watch.svg")
        await pilot.press("d")
        await _until(pilot, lambda: len(target.facts.links) == 1)
        await pilot.pause(3.0)
        await pilot.press("d")
        await _until(pilot, lambda: len(target.facts.links) == 2)
        await pilot.pause(3.0)
        app.clear_notifications()
        await pilot.press("D")
        await pilot.pause(1.0)
        _save(app, directory / "dump.svg")
        await pilot.press("ctrl+s")
        await _until(pilot, lambda: len(target.facts.links) == 3)
        await pilot.pause(1.5)
        _save(app, directory / "chain.svg")
        await pilot.press("q")
    app.desk.watched.join()


async def _tour(tour: Tour, chain: Path, directory: Path) -> None:
    """From steady writing through a burst to a lull, in which a trigger dumps, and beyond."""
    options = Options(
        (tour.pid,), arm=True, interval_s=0.5, directory=chain, stop_budget_s=TOUR_STOP_BUDGET_S
    )
    app = DirtytopApp(options)
    async with app.run_test(size=_SIZE, notifications=True) as pilot:
        target = app.desk.watched.targets[0]
        film = _Film(app, pilot, tour)
        await film.roll(6.0)
        film.save_picture(directory, "steady")
        await pilot.press("d")
        await film.until(lambda: film.phase == "burst")
        await film.roll(2.5)
        film.save_picture(directory, "burst")
        await pilot.press("w")
        await film.roll(1.0)
        app.screen.query_one("#kind-quiet", Choice).value = True
        app.screen.query_one("#quiet", Input).value = "2s"
        await film.roll(1.0)
        await pilot.press("ctrl+s")
        await film.roll(1.0)
        await pilot.press("ctrl+s")
        await film.until(lambda: len(target.facts.links) > 1 and target.facts.wait is None)
        await film.roll(1.5)
        film.save_picture(directory, "quiet")
        app.clear_notifications()
        await film.until(lambda: film.phase == "growing")
        await film.roll(4.0)
        film.save_picture(directory, "growing")
        await pilot.press("l")
        await film.roll(3.0)
        film.animation.save(directory / "tour.svg")
        await pilot.press("escape", "q")
    app.desk.watched.join()


class _Film:
    """Takes a picture twice a second while it waits for something."""

    def __init__(self, app: DirtytopApp, pilot: Pilot[Any], tour: Tour) -> None:
        self.animation = Animation()
        self._app = app
        self._pilot = pilot
        self._tour = tour

    @property
    def phase(self) -> str:
        """What the tour is in."""
        phase = self._tour.phase
        return phase.name if phase is not None else ""

    async def until(self, condition: Callable[[], object]) -> None:
        """Roll until something is the case."""
        give_up = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > give_up:
                raise TimeoutError("the tour does not come to where a picture can be taken")
            await self.roll(_FRAME_S)

    async def roll(self, seconds: float) -> None:
        """Take pictures for as long."""
        for _ in range(round(seconds / _FRAME_S)):
            await self._pilot.pause(_FRAME_S)
            self.animation.add(_picture(self._app), _FRAME_S)

    def save_picture(self, directory: Path, phase: str) -> None:
        """What is to be seen in that phase."""
        _save(self._app, directory / f"tour-{phase}.svg")


async def _until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("the dashboard does not come to where a picture can be taken")
        await pilot.pause(0.1)


def _picture(app: DirtytopApp) -> str:
    return app.export_screenshot(title="dirtytop")


def _save(app: DirtytopApp, path: Path) -> None:
    path.write_text(_picture(app), "utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
