"""The program in a terminal of its own: however it ends, it ends cleanly."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.targets.scripted import ScriptedTarget

ALTERNATE_SCREEN = b"\x1b[?1049h"
MAIN_SCREEN = b"\x1b[?1049l"
PATIENCE_S = 60.0


class Terminal:
    """`dirtytop ARGUMENTS` in a pty that is its controlling terminal."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(slave)

    def wait_for(self, wanted: bytes) -> None:
        """Read until the terminal has been sent this."""
        until = time.monotonic() + PATIENCE_S
        while wanted not in self.shown:
            assert time.monotonic() < until, f"never showed {wanted!r}: {self.shown[-2000:]!r}"
            self._read(0.5)

    def type(self, keys: bytes) -> None:
        """As if at the keyboard."""
        os.write(self.master, keys)

    def end(self) -> int:
        """Read until it has exited; its exit code."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, "it does not end"
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def hang_up(self) -> None:
        """As if the terminal's window were closed."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)

    def _read(self, timeout_s: float) -> bool:
        if self.master < 0 or not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self.shown += data
        return bool(data)


def is_write_protected(pid: int) -> bool:
    """Whether any mapping is registered for write-protection with a userfaultfd."""
    flags = re.findall(r"^VmFlags:.*$", Path(f"/proc/{pid}/smaps").read_text(), re.MULTILINE)
    return any(" uw" in line for line in flags)


@pytest.fixture
def terminal(target: ScriptedTarget, tmp_path: Path) -> Iterator[Terminal]:
    """The dashboard on a target, armed and ticking."""
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    terminal = Terminal([str(target.pid), "--interval", "0.2"], home)
    terminal.wait_for(ALTERNATE_SCREEN)
    terminal.wait_for(b"NOT ARMED")
    terminal.type(b"a")
    terminal.wait_for(b" ARMED ")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_with_the_terminal_restored_and_the_target_let_go(
    terminal: Terminal, target: ScriptedTarget, number: signal.Signals
) -> None:
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    assert MAIN_SCREEN in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert not is_write_protected(target.pid)
    target.fill([1])  # it answers


def test_a_closed_terminal_ends_it_and_lets_the_target_go(terminal: Terminal, target: ScriptedTarget) -> None:
    terminal.hang_up()
    assert terminal.end() in (128 + signal.SIGHUP, 0)
    assert not is_write_protected(target.pid)
    target.fill([1])


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl+c"])
def test_a_key_ends_it_with_exit_code_0(terminal: Terminal, target: ScriptedTarget, key: bytes) -> None:
    terminal.type(key)
    assert terminal.end() == 0
    assert MAIN_SCREEN in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert not is_write_protected(target.pid)


def test_the_settings_survive_it(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type(b"h")
    terminal.wait_for(b"hot only")
    terminal.type(b"q")
    assert terminal.end() == 0
    assert "hot_only = true" in (tmp_path / "config" / "dirtytop" / "settings.toml").read_text()


def test_the_first_run_shows_the_tour_and_the_second_does_not(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    for shown in (True, False):
        terminal = Terminal([], home)
        try:
            terminal.wait_for(b"pick a process")
            terminal.wait_for(b" processes")
            if shown:
                terminal.wait_for(b"a tour")
                terminal.type(b"q")
            terminal.type(b"q")
            assert terminal.end() == 0
            assert (b"a tour" in terminal.shown) is shown
        finally:
            terminal.close()
    assert "show_tour = false" in (tmp_path / "config" / "dirtytop" / "settings.toml").read_text()


def test_a_pid_that_is_not_there_is_an_error_before_anything_is_shown() -> None:
    terminal = Terminal(["999999999"], {})
    try:
        assert terminal.end() == 4
        assert ALTERNATE_SCREEN not in terminal.shown
    finally:
        terminal.close()
