"""System calls made inside another process leave it as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from engine.errors import AlreadyTraced, DirtytopError, NotSupported, TargetGone
from engine.kernel.libc import MACHINE
from engine.kernel.process import read_stat, read_status
from engine.kernel.ptrace import Tracee
from engine.kernel.registers import NATIVE
from engine.kernel.remote_syscall import borrowed_thread
from engine.kernel.stopping import StoppedProcess, on_own_thread
from tests.kernel.remote import remote_call
from tests.targets.scripted import ScriptedTarget
from tests.targets.speaking import ScriptTarget

GETPID = {"x86_64": 39, "aarch64": 172}[MACHINE]
CLOSE = {"x86_64": 3, "aarch64": 57}[MACHINE]

pytestmark = pytest.mark.skipif(NATIVE is None, reason=f"no remote system call on {MACHINE}")


def test_the_call_is_made_by_the_target(target: ScriptedTarget) -> None:
    assert remote_call(target.pid, GETPID, ()) == target.pid
    target.fill([1])  # it still obeys


def test_an_error_of_the_call_is_the_kernels(target: ScriptedTarget) -> None:
    with borrowed_thread(target.pid) as caller, pytest.raises(OSError, match="Bad file descriptor"):
        caller.call(CLOSE, 12345)
    target.fill([1])


def test_registers_and_signal_mask_are_as_before(target: ScriptedTarget) -> None:
    def state() -> tuple[bytes, int]:
        # It answers before it waits for the next command.
        while read_stat(target.pid).state != "S":
            time.sleep(0.001)
        tracee = Tracee(target.pid, target.pid)
        tracee.interrupt()
        tracee.wait_stopped(time.monotonic() + 5)
        seen = tracee.read_registers(), tracee.read_signal_mask()
        tracee.release()
        return seen

    before = on_own_thread(state)
    remote_call(target.pid, GETPID, ())
    assert on_own_thread(state) == before


SLEEPER = """
import time, sys
print("ready", flush=True)
while True:
    began = time.monotonic()
    time.sleep(0.2)
    print(time.monotonic() - began, flush=True)
"""


def test_an_interrupted_sleep_lasts_its_time() -> None:
    with ScriptTarget(SLEEPER) as target:
        target.hear()
        for _ in range(5):
            for _ in range(10):
                remote_call(target.pid, GETPID, ())
            assert float(target.hear()) >= 0.2


SIGNALLED = """
import signal, sys
count = 0
def handler(*_):
    global count
    count += 1
signal.signal(signal.SIGUSR1, handler)
print("ready", flush=True)
for line in sys.stdin:
    print(count, flush=True)
"""


def test_no_signal_is_lost_or_handled_on_borrowed_registers() -> None:
    with ScriptTarget(SIGNALLED) as target:
        for expected in range(1, 30):
            with borrowed_thread(target.pid) as caller:
                os.kill(target.pid, signal.SIGUSR1)
                assert caller.call(GETPID) == target.pid
            seen = 0
            while seen < expected:
                seen = int(target.ask())
            assert seen == expected


def test_a_stopped_process_stays_stopped(target: ScriptedTarget) -> None:
    os.kill(target.pid, signal.SIGSTOP)
    while read_stat(target.pid).state != "T":
        time.sleep(0.001)
    assert remote_call(target.pid, GETPID, ()) == target.pid
    while read_stat(target.pid).state == "R":
        time.sleep(0.001)
    assert read_stat(target.pid).state == "T"
    os.kill(target.pid, signal.SIGCONT)
    target.fill([1])


def test_a_stop_sent_meanwhile_is_delivered(target: ScriptedTarget) -> None:
    with borrowed_thread(target.pid) as caller:
        os.kill(target.pid, signal.SIGSTOP)
        assert caller.call(GETPID) == target.pid
    deadline = time.monotonic() + 10
    while read_stat(target.pid).state != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(target.pid, signal.SIGCONT)
    target.fill([1])


def test_a_process_killed_meanwhile_is_gone(target: ScriptedTarget) -> None:
    def call_on_and_on() -> None:
        with borrowed_thread(target.pid) as caller:
            os.kill(target.pid, signal.SIGKILL)
            for _ in range(1000):
                caller.call(GETPID)

    with pytest.raises(TargetGone):
        call_on_and_on()


def test_a_traced_process_names_its_tracer(target: ScriptedTarget) -> None:
    def trace_twice() -> None:
        first = Tracee(target.pid, target.pid)
        first.interrupt()
        first.wait_stopped(time.monotonic() + 5)
        try:
            # From another thread of ours, which is another tracer to the kernel.
            on_own_thread(lambda: remote_call(target.pid, GETPID, ()))
        finally:
            first.release()

    with pytest.raises(AlreadyTraced, match=rf"pid {os.getpid()}\)|already traced by") as caught:
        on_own_thread(trace_twice)
    assert caught.value.exit_code == 3
    target.fill([1])


CONFINED = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
# Allow everything but userfaultfd (323 and 282), which kills.
import struct
def op(code, jt, jf, k): return struct.pack("<HBBI", code, jt, jf, k)
program = (op(0x20, 0, 0, 0) + op(0x15, 1, 0, 323) + op(0x15, 0, 1, 282)
           + op(0x06, 0, 0, 0x80000000) + op(0x06, 0, 0, 0x7fff0000))
buffer = ctypes.create_string_buffer(program)
class Prog(ctypes.Structure): _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))
prog = Prog(5, ctypes.addressof(buffer))
assert libc.prctl(22, 2, ctypes.byref(prog), 0, 0) == 0
print("ready", flush=True)
for line in sys.stdin: print("alive", flush=True)
"""


def test_a_seccomp_filter_does_not_kill_the_target() -> None:
    with ScriptTarget(CONFINED) as target:
        userfaultfd = {"x86_64": 323, "aarch64": 282}[MACHINE]
        # Where we may not lift the filter, nothing is tried.
        with suppress(NotSupported), borrowed_thread(target.pid) as caller:
            caller.call(CLOSE, caller.call(userfaultfd, 1))
        assert target.ask() == "alive"


def test_one_that_starts_program_after_program_is_never_harmed(tmp_path: Path) -> None:
    """What was found out about a program does not hold for the next one in the same process."""
    script = tmp_path / "again"
    script.write_text('[ "$1" -gt 0 ] && exec sh "$0" $(($1 - 1))\nexec sleep 1000\n')
    made = 0
    process = subprocess.Popen(["sh", str(script), "150"])
    try:
        while read_stat(process.pid).command != "sleep":
            # It may be caught with no program in it.
            with suppress(DirtytopError):
                assert on_own_thread(partial(remote_call, process.pid, GETPID, ())) == process.pid
                made += 1
            assert process.poll() is None
            assert read_status(process.pid)["TracerPid"] == "0"
    finally:
        process.kill()
        process.wait()
    assert made > 5


def test_all_threads_stop_and_go_on(target: ScriptedTarget) -> None:
    target.start_threads(20)

    def stop() -> set[str]:
        with StoppedProcess(target.pid) as stopped:
            assert len(stopped.tracees) == 21
            return {read_stat(target.pid, tid).state for tid in stopped.tracees}

    assert on_own_thread(stop) == {"t"}
    target.fill([1])
    assert "t" not in {
        read_stat(target.pid, int(tid)).state for tid in os.listdir(f"/proc/{target.pid}/task")
    }


PAUSING = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_a_signal_between_two_calls_still_ends_what_the_target_waits_in() -> None:
    """Python runs a handler only when pause(2) has returned."""
    with ScriptTarget(PAUSING) as target:
        for _ in range(20):
            while read_stat(target.pid).state != "S":
                time.sleep(0.001)
            with borrowed_thread(target.pid) as caller:
                assert caller.call(GETPID) == target.pid
                os.kill(target.pid, signal.SIGUSR1)
                assert caller.call(GETPID) == target.pid
            assert target.hear() == "handled"
