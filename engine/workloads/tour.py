"""The guided tour's target: it goes through its phases by itself, and can be restored.

Unlike a `Workload` it shares no channel with its starter, for CRIU could not restore one. Its phase
stands in its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.errors import DirtytopError
from engine.workloads.scenario import scenario
from engine.workloads.writer import NO_CHANNEL

_WRITER: Final = Path(__file__).with_name("writer.py")
_READY_S: Final = 60.0
_PREFIX: Final = "tour-"


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the tour."""

    name: str
    text: str
    """What it does, as one would say it to an audience."""


TOUR_STOP_BUDGET_S: Final = 0.04
"""How long its dump may stop it: more than outside of the burst, and less than in it, on most machines."""

PHASES: Final = {
    phase.name: phase
    for phase in (
        Phase("steady", "a small hot set is written round and round, the rest is left alone"),
        Phase("burst", "much more memory is written, and all of it soon again"),
        Phase("quiet", "nothing is written"),
        Phase("growing", "new memory is mapped and filled, a little at a time"),
    )
}


class Tour:
    """A running tour. It ends with `stop`; if its starter is gone or restored it elsewhere, minutes later."""

    def __init__(self, **sizes: int) -> None:
        """Start it, and wait until its memory is filled.

        Args:
            sizes: as of the scenario "tour".

        Raises:
            DirtytopError: it could not be started.
        """
        self.scenario = scenario("tour", **sizes)
        given = [f"{key}={value}" for key, value in self.scenario.sizes.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_WRITER), "tour", str(NO_CHANNEL), *given],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        self._is_restored = False
        until_s = time.monotonic() + _READY_S
        while self.phase is None:
            if self._process.poll() is not None or time.monotonic() > until_s:
                self.stop()
                raise DirtytopError("the tour could not be started", hint="`dirtytop demo` has smaller ones")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The target; the same once it has been restored."""
        return self._process.pid

    @property
    def phase(self) -> Phase | None:
        """What it is doing; None before it begins, or when it has exited."""
        try:
            name = Path(f"/proc/{self.pid}/comm").read_text().rstrip("\n")
        except (FileNotFoundError, ProcessLookupError):
            return None
        return PHASES.get(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None

    def bury(self) -> None:
        """Wait for its end: it was killed by a dump, and its pid must be free for a restore."""
        self._process.wait()

    def restored(self) -> None:
        """It has been restored, as our child, and is to be ended with us again."""
        self._is_restored = True

    def stop(self) -> None:
        """End it, stopped or not."""
        if self._is_restored:
            self._is_restored = False
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        elif self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
