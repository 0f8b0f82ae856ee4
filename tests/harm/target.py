"""A target that knows everything about itself, of a kind that `tests/targets/knowing_*.c` can be."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from engine.errors import TargetGone
from engine.kernel.process import child_processes, read_stat
from tests.targets.compiled import compiled

_ANSWER_TIMEOUT_S = 60.0
_END = b".\n"


class Knowing:
    """Our end of it. CRIU can dump it: it has a session of its own, and nothing open that belongs to us."""

    def __init__(self, program: str, kind: str, directory: Path) -> None:
        """Start it and wait until it is what it is to be; skips the test where it says that it cannot."""
        self._questions = _fifo(directory / "questions")
        self._answers = _fifo(directory / "answers")
        self.process = subprocess.Popen(
            [compiled(f"knowing_{program}"), kind],
            stdin=self._questions,
            stdout=self._answers,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self.pid = self.process.pid
        said = self._hear(b"\n").decode().strip()
        if said != "ready":
            self.close()
            pytest.skip(f"{kind}: {said}")

    def account(self) -> dict[str, str]:
        """What it tells of itself, by name."""
        os.write(self._questions, b"\n")
        lines = self._hear(b"\n" + _END).removesuffix(_END).decode("utf-8", "surrogateescape").splitlines()
        return dict(line.partition(": ")[::2] for line in lines)

    def suspend(self) -> None:
        """Stop it as job control does; it answers no more until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_for_state(self.pid, "T")

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        os.kill(self.pid, signal.SIGCONT)
        wait_for_state(self.pid, "RSD")

    def _hear(self, end: bytes) -> bytes:
        heard = b""
        while not heard.endswith(end):
            ready, _, _ = select.select([self._answers], [], [], _ANSWER_TIMEOUT_S)
            assert ready, f"it does not answer (state {read_stat(self.pid).state})"
            heard += os.read(self._answers, 1 << 16)
        return heard

    def close(self) -> None:
        """End it, with all its descendants."""
        for pid in (self.pid, *(stat.pid for stat in child_processes({self.pid}))):
            with suppress(TargetGone, ProcessLookupError):
                if not read_stat(pid).is_dead:
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._questions)
        os.close(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_for_state(pid: int, states: str, why_not: str = "") -> None:
    """Until the kernel shows one of these letters for it; `why_not` is told if it does not."""
    deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
    while (stat := read_stat(pid)).state not in states:
        is_late = time.monotonic() > deadline_s
        assert not is_late, f"process {pid} ({stat.command}) is in state {stat.state} {why_not}"
        time.sleep(0.001)


def _fifo(path: Path) -> int:
    """A fifo open at both ends, so that it has neither an end nor a beginning."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
