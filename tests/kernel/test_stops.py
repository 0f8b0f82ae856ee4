"""A stop goes unnoticed: no call fails because of it, no signal is lost, and nobody is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from engine.kernel.libc import MACHINE, system_call
from engine.kernel.process import read_stat, read_status, task_with_memory, thread_ids
from engine.kernel.registers import NATIVE
from engine.kernel.remote_syscall import borrowed_thread
from engine.kernel.stopping import StoppedProcess, on_own_thread
from engine.kernel.waits import Harm, harm_of_stopping, read_wait
from tests.kernel.remote import remote_call
from tests.targets.compiled import CompiledTarget
from tests.targets.speaking import ScriptTarget

GETPID = {"x86_64": 39, "aarch64": 172}[MACHINE]

pytestmark = pytest.mark.skipif(NATIVE is None, reason=f"no remote system call on {MACHINE}")


def stop_all(pid: int) -> None:
    def stop() -> None:
        with StoppedProcess(pid):
            pass

    on_own_thread(stop)


def borrow_one(pid: int) -> None:
    assert on_own_thread(partial(remote_call, pid, GETPID, ())) == pid


def wait_until_asleep(pid: int) -> None:
    while any(read_stat(pid, tid).state != "S" for tid in thread_ids(pid)):
        time.sleep(0.001)


def counts(answer: str) -> dict[str, tuple[int, int]]:
    """EINTR, and how often it was done, by the name of the call."""
    rows = [row.split() for row in answer.split(";") if row]
    return {name: (int(eintr), int(done)) for name, eintr, done, _, _ in rows}


def interrupted(answer: str) -> dict[str, int]:
    """How often it returned EINTR, of each call that did."""
    return {name: eintr for name, (eintr, _) in counts(answer).items() if eintr}


@pytest.mark.parametrize("stop", [stop_all, borrow_one])
def test_no_call_that_waits_without_end_is_interrupted(stop: Callable[[int], None]) -> None:
    with CompiledTarget("waiting") as target:
        for _ in range(20):
            wait_until_asleep(target.pid)
            stop(target.pid)
        wait_until_asleep(target.pid)
        assert interrupted(target.ask()) == {}


def test_one_stop_interrupts_no_call_with_a_timeout() -> None:
    with CompiledTarget("waiting", "600000") as target:
        wait_until_asleep(target.pid)
        stop_all(target.pid)
        wait_until_asleep(target.pid)
        assert interrupted(target.ask()) == {}


def test_epoll_wait_ends_when_it_would_have_however_often_it_is_stopped() -> None:
    with CompiledTarget("waiting", "300") as target:
        done = 0
        while done < 3:
            stop_all(target.pid)
            time.sleep(0.01)
            eintr, done = counts(target.ask())["epoll_wait"]
            assert eintr == 0


def test_a_wait_is_begun_anew_once_and_then_interrupted_rather_than_never_ended() -> None:
    with CompiledTarget("waiting", "600000") as target:
        for _ in range(4):
            wait_until_asleep(target.pid)
            stop_all(target.pid)
        wait_until_asleep(target.pid)
        assert counts(target.ask())["recv"] == (2, 0)


INTERRUPTED = """
import select, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: None)
poll = select.epoll()
class Handled(Exception): pass
def handle(*_): raise Handled
signal.signal(signal.SIGUSR2, handle)
print("ready", flush=True)
while True:
    try:
        poll.poll()
    except Handled:
        print("interrupted", flush=True)
"""


def test_a_signal_still_interrupts_a_call_that_we_have_stopped() -> None:
    with ScriptTarget(INTERRUPTED) as target:
        for _ in range(20):
            while read_stat(target.pid).state != "S":
                time.sleep(0.001)

            def stop_and_send() -> None:
                with StoppedProcess(target.pid):
                    os.kill(target.pid, signal.SIGUSR2)

            on_own_thread(stop_and_send)
            assert target.hear() == "interrupted"


def signals(pid: int) -> dict[str, str]:
    names = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
    return {name: value for name, value in read_status(pid).items() if name in names}


@pytest.mark.parametrize("how", ["handled", "blocked", "pending", "ignored"])
def test_sigtrap_stays_as_the_target_has_it(how: str) -> None:
    with CompiledTarget("trapping", how) as target:
        before = signals(target.pid)
        borrow_one(target.pid)
        assert signals(target.pid) == before
        assert target.ask() == "0"


def test_a_target_that_diverts_its_system_calls_does_not_see_ours() -> None:
    with CompiledTarget("diverting") as target:
        if target.said != "ready":
            pytest.skip("the kernel diverts no system calls")
        borrow_one(target.pid)
        assert target.ask() == "0"
        borrow_one(target.pid)
        assert target.ask() == "0"


TOLD = """
import os, signal, sys, time
told = []
child = os.fork()
if child == 0:
    while True: time.sleep(1000)
os.kill(child, signal.SIGSTOP)
os.waitid(os.P_PID, child, os.WSTOPPED)
signal.signal(signal.SIGCHLD, lambda *_: told.append(1))
print(child, flush=True)
sys.stdin.readline()
left = os.waitid(os.P_PID, child, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
answer = len(told), left
os.kill(child, signal.SIGKILL)
print(*answer, flush=True)
"""


@pytest.mark.parametrize("stop", [stop_all, borrow_one])
def test_the_parent_of_a_stopped_process_is_told_nothing(stop: Callable[[int], None]) -> None:
    with ScriptTarget(TOLD) as parent:
        child = int(parent.said)
        for _ in range(10):
            stop(child)
        while read_stat(child).state != "T":
            time.sleep(0.001)
        assert parent.ask() == "0 None"


def test_a_thread_that_a_stop_does_not_harm_is_borrowed_before_others() -> None:
    with CompiledTarget("waiting") as target:
        wait_until_asleep(target.pid)
        harms = {harm_of_stopping(target.pid, tid) for tid in thread_ids(target.pid)}
        assert {Harm.NONE, Harm.FUTEX, Harm.UNDONE, Harm.UNKNOWN} <= harms
        # Had one of the others been borrowed, it would have left its call, and begun it again.
        switches = {
            tid: read_status(target.pid, tid)["voluntary_ctxt_switches"]
            for tid in thread_ids(target.pid)
            if harm_of_stopping(target.pid, tid) is not Harm.NONE
        }
        for _ in range(20):
            wait_until_asleep(target.pid)
            borrow_one(target.pid)
        for tid, before in switches.items():
            assert read_status(target.pid, tid)["voluntary_ctxt_switches"] == before


def test_a_process_lives_on_when_its_main_thread_has_ended() -> None:
    with CompiledTarget("headless") as target:
        stat = read_stat(target.pid)
        assert not stat.is_dead
        assert stat.has_program
        assert task_with_memory(target.pid) != target.pid
        assert read_wait(target.pid, target.pid) is None
        borrow_one(target.pid)
        stop_all(target.pid)
        assert target.ask() == "written"


def count_of(target: CompiledTarget) -> int:
    with open(f"/proc/{target.pid}/mem", "rb", 0) as memory:
        return int.from_bytes(os.pread(memory.fileno(), 8, int(target.said, 16)), "little")


@pytest.mark.parametrize("stop", [stop_all, borrow_one])
def test_a_process_that_was_stopped_by_a_signal_runs_nothing_meanwhile(stop: Callable[[int], None]) -> None:
    with CompiledTarget("counting") as target:
        os.kill(target.pid, signal.SIGSTOP)
        while read_stat(target.pid).state != "T":
            time.sleep(0.001)
        before = count_of(target)
        for _ in range(5):
            stop(target.pid)
        while read_stat(target.pid).state != "T":
            time.sleep(0.001)
        assert count_of(target) == before


def to_thread(pid: int, number: int) -> None:
    """To the first thread alone, where it waits apart from what waits for the process."""
    system_call({"x86_64": 234, "aarch64": 131}[MACHINE], pid, pid, number)  # tgkill


def to_both(pid: int, number: int) -> None:
    """To the process, and to its first thread."""
    os.kill(pid, number)
    to_thread(pid, number)


@pytest.mark.parametrize("send", [os.kill, to_thread, to_both])
@pytest.mark.parametrize("stop", [stop_all, borrow_one])
def test_a_signal_that_waits_for_a_stopped_process_goes_on_waiting(
    stop: Callable[[int], None], send: Callable[[int, int], None]
) -> None:
    with CompiledTarget("trapping", "handled") as target:
        os.kill(target.pid, signal.SIGSTOP)
        while read_stat(target.pid).state != "T":
            time.sleep(0.001)
        for number in (signal.SIGSTOP, signal.SIGTRAP, signal.SIGUSR1):
            send(target.pid, number)
        before = signals(target.pid)
        for _ in range(3):
            stop(target.pid)
            while read_stat(target.pid).state != "T":
                time.sleep(0.001)
        assert signals(target.pid) == before


def test_a_process_that_is_stopped_between_two_calls_stays_stopped() -> None:
    with CompiledTarget("trapping", "handled") as target:
        with borrowed_thread(target.pid) as caller:
            assert caller.call(GETPID) == target.pid
            os.kill(target.pid, signal.SIGSTOP)
            assert caller.call(GETPID) == target.pid
        while read_stat(target.pid).state != "T":
            time.sleep(0.001)
        os.kill(target.pid, signal.SIGCONT)
        assert target.ask() == "0"
