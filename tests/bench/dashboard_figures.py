"""What the dashboard costs: its share of a core, how soon it is there, how soon it answers."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from tests.bench.figure import Figure
from tests.targets.scripted import ScriptedTarget

_ROWS, _COLUMNS = 50, 160
_SETTLE_S = 6.0
_WATCH_S = 20.0
_KEYS = 15
_STARTS = 7


class Terminal:
    """A dashboard in a terminal of its own, as a user would have it."""

    def __init__(self, arguments: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.started_s = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        os.close(slave)

    def read(self, for_s: float) -> bytes:
        """What it shows within so many seconds."""
        shown, until = b"", time.perf_counter() + for_s
        while (left := until - time.perf_counter()) > 0:
            if select.select([self.master], [], [], left)[0]:
                shown += os.read(self.master, 1 << 16)
        return shown

    def wait_for(self, text: bytes, within_s: float = 30.0) -> float:
        """Seconds from its start until it has shown `text`."""
        shown, until = b"", time.perf_counter() + within_s
        while text not in shown:
            left = until - time.perf_counter()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise TimeoutError(f"{text!r} was not shown within {within_s} s")
            shown += os.read(self.master, 1 << 16)
        return time.perf_counter() - self.started_s

    def press(self, key: bytes) -> float:
        """Press a key; seconds until anything changes on the screen."""
        self.read(0.05)
        since = time.perf_counter()
        os.write(self.master, key)
        select.select([self.master], [], [], 5.0)
        return time.perf_counter() - since

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        with suppress(OSError):  # it has closed its end
            self.read(1.0)
        self.process.wait(timeout=20)
        os.close(self.master)


def measure() -> Iterator[Figure]:
    """Every figure of the dashboard."""
    with ScriptedTarget(pages=64) as target:
        starts = []
        for _ in range(_STARTS):
            with Terminal([str(target.pid)]) as terminal:
                starts.append(terminal.wait_for(str(target.pid).encode()))
                terminal.read(0.5)
    yield Figure(
        "`dirtytop PID` to its first frame", statistics.median(starts), "s", 0.8, "lower", _STARTS,
        f"fastest {min(starts):.2f} s",
    )  # fmt: skip
    for vmas, reach in ((1_000, 4.0), (65_000, 12.0)):
        yield from _at_1_hz(vmas, reach)


def _at_1_hz(vmas: int, reach: float) -> Iterator[Figure]:
    with ScriptedTarget(pages=64) as target:
        base = target.map(vmas)
        target.touch(base, vmas)
        target.scatter(base, vmas)
        with Terminal([str(target.pid)]) as terminal:
            terminal.wait_for(str(target.pid).encode())
            terminal.read(1.0)
            os.write(terminal.master, b"a")
            terminal.read(_SETTLE_S)
            process = psutil.Process(terminal.process.pid)
            before, since = process.cpu_times(), time.perf_counter()
            while time.perf_counter() - since < _WATCH_S:
                target.touch(base + 4096, 1000, step=2)
                terminal.read(0.5)
            after, elapsed = process.cpu_times(), time.perf_counter() - since
            used = (after.user + after.system - before.user - before.system) / elapsed * 100
            answers = [terminal.press(b"\x1b[B") * 1e3 for _ in range(_KEYS)]
    yield Figure(
        f"dashboard at 1 Hz, {vmas:,} VMAs: share of a core", used, "%", reach, "lower", 1,
        f"over {elapsed:.0f} s",
    )  # fmt: skip
    yield Figure(
        f"dashboard, {vmas:,} VMAs: a key answers", statistics.median(answers), "ms", 100, "lower", _KEYS,
        f"slowest {max(answers):.0f} ms",
    )  # fmt: skip
