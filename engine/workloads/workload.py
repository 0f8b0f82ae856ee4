"""A running demo target: how it is started, asked for its progress, and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.errors import DirtytopError, TargetGone
from engine.workloads.scenario import Scenario, scenario

_WRITER: Final = Path(__file__).with_name("writer.py")
_READY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Span:
    """Memory that one process of a workload writes to; byte addresses, half-open."""

    pid: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WrittenCount:
    """What a workload has written, by its own count and between two of its steps."""

    steps: int
    pages_written: int
    """Since it was ready; a page written twice counts twice."""
    spans: tuple[Span, ...]
    """Where; more than one in "growing" and "fork-tree"."""


class Workload:
    """A demo target. It ends with `stop`, and by itself when the process that started it is gone."""

    def __init__(self, chosen: Scenario) -> None:
        """Start it and wait until its memory is mapped and filled.

        Raises:
            DirtytopError: it could not be started, or has no memory to run in.
        """
        self.scenario = chosen
        ours, theirs = socket.socketpair()
        sizes = [f"{key}={value}" for key, value in chosen.sizes.items()]
        with theirs:
            # A session of its own: the terminal's Ctrl-C is for dirtytop. Nothing it might say
            # must reach a screen that is being drawn.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WRITER), chosen.name, str(theirs.fileno()), *sizes],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
            )
        ours.settimeout(_READY_S)
        self._channel = ours
        self._replies = ours.makefile("rb")
        try:
            self._at_start = self._reply()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The target; with "fork-tree" the parent of the others."""
        return self._process.pid

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where it wrote when it was ready."""
        return self._at_start.spans

    def truth(self) -> WrittenCount:
        """Ask it what it has written until now.

        Raises:
            TargetGone: it has exited.
            DirtytopError: it does not answer, as when it is stopped.
        """
        try:
            self._channel.send(b"?")
        except OSError as error:
            raise TargetGone(f"the {self.scenario.name} workload has exited", pid=self.pid) from error
        return self._reply()

    def stop(self) -> None:
        """End it, its children too, stopped or not."""
        if self._process.returncode is None:
            # It is a zombie at worst, so the number cannot be another's yet.
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._replies.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _reply(self) -> WrittenCount:
        name = self.scenario.name
        try:
            line = self._replies.readline()
        except TimeoutError as error:
            raise DirtytopError(f"the {name} workload does not answer", pid=self.pid) from error
        except OSError as error:
            raise TargetGone(f"the {name} workload has exited", pid=self.pid) from error
        if not line:
            raise TargetGone(f"the {name} workload has exited", pid=self.pid)
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise DirtytopError(
                f"the {name} workload could not map its memory ({reply['error']})",
                hint="choose a smaller one: `dirtytop demo --list`",
            )
        spans = tuple(Span(*span) for span in reply["spans"])
        return WrittenCount(reply["steps"], reply["pages_written"], spans)


def start(name: str, **sizes: int) -> Workload:
    """Start the scenario of this name, with some of its sizes changed. Errors as of `Workload`.

    Raises:
        KeyError: there is none of this name.
        TypeError: it has no such size.
    """
    return Workload(scenario(name, **sizes))
