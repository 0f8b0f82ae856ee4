"""Nothing that stops us keeps a target stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine.kernel.process import read_stat
from tests.targets.scripted import ScriptedTarget

HOLDER = """
import sys
from engine.kernel.held import Hold
from engine.kernel.stopping import StoppedProcess
from tui.job_control import stops_put_off

with stops_put_off():
    with Hold(float(sys.argv[2])), StoppedProcess(int(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
    print("let go", flush=True)
    sys.stdin.readline()
"""


class Holder:
    """A program of ours that stops a target until it is told to let it go."""

    def __init__(self, pid: int, within_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(pid), str(within_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # of our session: one that no shell can wake is not stopped by a terminal
        )
        self.pid = self.process.pid
        assert self.hear() == "held"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait_until_stopped(self) -> int:
        """Which signal has stopped it."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status
        return os.WSTOPSIG(status)


@pytest.fixture
def holder(target: ScriptedTarget, request: pytest.FixtureRequest) -> Iterator[Holder]:
    held = Holder(target.pid, getattr(request, "param", 60.0))
    yield held
    held.process.kill()
    held.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_we_stop_only_once_nobody_is_held(
    target: ScriptedTarget, holder: Holder, number: signal.Signals
) -> None:
    assert read_stat(target.pid).state == "t"
    holder.process.send_signal(number)
    holder.say()
    assert holder.wait_until_stopped() == number
    assert read_stat(target.pid).state != "t"
    holder.process.send_signal(signal.SIGCONT)
    assert holder.hear() == "let go"
    holder.process.send_signal(number)
    assert holder.wait_until_stopped() == number


@pytest.mark.parametrize("holder", [0.5], indirect=True)
def test_the_kernel_wakes_us_when_the_time_of_a_hold_is_over(holder: Holder) -> None:
    holder.process.send_signal(signal.SIGSTOP)
    assert holder.wait_until_stopped() == signal.SIGSTOP
    holder.say()
    assert holder.hear() == "let go"


def test_nobody_stays_stopped_when_we_are_killed(target: ScriptedTarget, holder: Holder) -> None:
    holder.process.kill()
    holder.process.wait()
    target.fill([1])
    assert read_stat(target.pid).state != "t"
