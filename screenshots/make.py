"""Makes the pictures of the README: the real dashboard, without a terminal, on real workloads.

    python screenshots/make.py [DIRECTORY]

Nothing is staged but the list of processes, which names only the workloads, without this machine's
paths. Takes about a minute.
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

from engine.processes import ProcessRow
from engine.workloads import Workload, start
from tui.app import DirtytopApp
from tui.backend import EngineBackend
from tui.desk import Options
from widgets.process_table import ProcessTable

_SIZE: Final = (120, 36)
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


async def _picker(backend: EngineBackend, directory: Path) -> None:
    app = DirtytopApp(Options(), backend=backend)
    async with app.run_test(size=_SIZE, notifications=True) as pilot:
        table = app.screen.query_one(ProcessTable)
        await _until(pilot, lambda: table.row_count)
        await pilot.pause(5.0)  # CPU use is told from the second look on
        await pilot.press("down", "space")
        _save(app, directory / "pick.svg")


async def _checkpoint(pid: int, chain: Path, directory: Path) -> None:
    app = DirtytopApp(Options((pid,), arm=True, interval_s=0.5, directory=chain))
    async with app.run_test(size=_SIZE, notifications=True) as pilot:
        target = app.desk.watched.targets[0]
        await _until(pilot, lambda: len(target.live.history) > 50)
        _save(app, directory / "watch.svg")
        await pilot.press("d")
        await _until(pilot, lambda: len(target.links) == 1)
        await pilot.pause(3.0)
        await pilot.press("d")
        await _until(pilot, lambda: len(target.links) == 2)
        await pilot.pause(3.0)
        app.clear_notifications()
        await pilot.press("D")
        await pilot.pause(1.0)
        _save(app, directory / "dump.svg")
        await pilot.press("ctrl+s")
        await _until(pilot, lambda: len(target.links) == 3)
        await pilot.pause(1.5)
        _save(app, directory / "chain.svg")
        await pilot.press("q")
    app.desk.watched.join()


async def _until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("the dashboard does not come to where a picture can be taken")
        await pilot.pause(0.1)


def _save(app: DirtytopApp, path: Path) -> None:
    path.write_text(app.export_screenshot(title="dirtytop"), "utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
