"""Runs the real commands, as a shell would: without a terminal, or on one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import ExitStack
from typing import Any, Self

TIMEOUT_S = 60.0


class Terminal:
    """A command's terminal."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.shown = b""
        self._descriptor = descriptor

    def type(self, keys: bytes) -> None:
        """Press these."""
        os.write(self._descriptor, keys)

    def wait_for(self, text: bytes) -> None:
        """Until it has been shown."""
        while text not in self.shown:
            assert self._read(), f"ended without showing {text!r}: {self.shown!r}"

    def wait_for_end(self) -> int:
        """Until the command has ended; its exit code."""
        while self._read():
            pass
        return self.process.wait(TIMEOUT_S)

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self.shown += data
        return bool(data)


class Shell:
    """Starts commands, and kills those that have not ended by the end of the block."""

    def __init__(self) -> None:
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._started.close()

    def start(self, *arguments: object, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start `dirtytop` with these arguments."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tui", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self._started.enter_context(process)
        self._started.callback(process.kill)
        return process

    def start_on_terminal(self, *arguments: object) -> Terminal:
        """Start it on a terminal of its own, as its session's foreground job."""
        ours, theirs = pty.openpty()
        self._started.callback(os.close, ours)
        process = subprocess.Popen(
            [sys.executable, "-m", "tui", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._started.enter_context(process)
        self._started.callback(process.kill)
        return Terminal(ours, process)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Run it to its end: exit code, stdout, stderr."""
        return ended(self.start(*arguments))

    def succeeds(self, *arguments: object) -> str:
        """Run it to an end that is good, without a complaint: what it has printed."""
        code, output, complaints = self.run(*arguments)
        assert (code, complaints) == (0, "")
        return output

    def told(self, *arguments: object) -> list[dict[str, Any]]:
        """The same with `--json`: the objects that it has printed."""
        return objects(self.succeeds(*arguments, "--json"))

    def fails(self, expected: int, *arguments: object) -> str:
        """Run it to an end with this exit code, with nothing printed: what it complains of."""
        code, output, complaints = self.run(*arguments)
        assert (code, output) == (expected, "")
        return complaints


def ended(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str, str]:
    """Wait for the end, after a signal or without: exit code, and what was left on stdout and stderr."""
    if number is not None:
        process.send_signal(number)
    output, complaints = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, output, complaints


def ends_quietly_without_a_reader(process: subprocess.Popen[str]) -> bool:
    """Close the other end of its stdout; whether it then ends well and without a word."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    return process.stderr.read() == "" and process.wait() == 0


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for its next line, and read no further: what a buffer took is lost to `communicate`."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(process.stdout.fileno(), 1)):
        line += byte
    return line.decode()


def objects(output: str) -> list[dict[str, Any]]:
    """The JSON objects that a command has printed, one a line."""
    return [json.loads(line) for line in output.splitlines()]


def is_untouched(pid: int) -> bool:
    """Whether nothing of a tracker is left in a process: no descriptor, no watched mapping, no tracer."""
    descriptors = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    with open(f"/proc/{pid}/smaps") as smaps:
        flags = {flag for line in smaps if line.startswith("VmFlags:") for flag in line.split()[1:]}
    with open(f"/proc/{pid}/status") as status:
        tracer = next(int(line.split()[1]) for line in status if line.startswith("TracerPid:"))
    return "anon_inode:[userfaultfd]" not in descriptors and "uw" not in flags and not tracer
