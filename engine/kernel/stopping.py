"""Stopping every thread of a process for a moment (ptrace(2)).

A thread that waits in a call which the kernel cuts short for that waits on afterwards
(`engine.kernel.waiting_on`).
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from engine.errors import DirtytopError, TargetGone
from engine.kernel.held import Hold
from engine.kernel.own_call import OwnCallCaller
from engine.kernel.process import thread_ids
from engine.kernel.ptrace import STOP_TIMEOUT_S, Tracee
from engine.kernel.registers import NATIVE
from engine.kernel.waiting_on import UNSEEN, BeforeStop, Lookout, waits_on

Result = TypeVar("Result")


class StoppedProcess:
    """A process with all its threads stopped, from `with` to the end of it.

    To be used on a thread of its own (`on_own_thread`): when that thread ends, and when we are
    killed, the kernel lets the process go on.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.tracees: dict[int, Tracee] = {}
        """By thread id."""
        self._since = 0.0
        self._hold = Hold()
        self._is_held = False
        self._before: dict[int, BeforeStop] = {}

    def __enter__(self) -> Self:
        """Stop it.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced: it cannot be stopped, and has not been.
            NotSupported: a thread of it cannot be interrupted now.
        """
        self._hold.__enter__()
        self._is_held = True
        try:
            self._stop()
        except BaseException:
            self.release()
            raise
        return self

    def _stop(self) -> None:
        lookout = Lookout(self.pid)
        self._before = {tid: lookout.look(tid) for tid in thread_ids(self.pid)}
        self._since = time.perf_counter()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        ended: set[int] = set()
        # A running thread may start others until it has stopped itself.
        while fresh := [tid for tid in thread_ids(self.pid) if tid not in self.tracees and tid not in ended]:
            for tracee in self._seize(fresh, ended):
                try:
                    tracee.wait_stopped(deadline)
                except TargetGone:  # this thread ended instead; the process may live on
                    ended.add(tracee.tid)
                    del self.tracees[tracee.tid]
        if not self.tracees:
            raise TargetGone(f"process {self.pid} has exited", pid=self.pid)

    def _seize(self, tids: list[int], ended: set[int]) -> list[Tracee]:
        """Ask these threads to stop; note those that have ended, as a leader may before the others."""
        seized = []
        for tid in tids:
            try:
                tracee = Tracee(self.pid, tid)
                tracee.interrupt()
            except TargetGone:
                ended.add(tid)
                continue
            self.tracees[tid] = tracee
            seized.append(tracee)
        return seized

    @property
    def stopped_us(self) -> int:
        """How long it has been stopped, in microseconds, from the first request on."""
        return int((time.perf_counter() - self._since) * 1e6)

    def release(self) -> None:
        """Let every thread go on. May be called twice."""
        for tid, tracee in self.tracees.items():
            self._have_it_wait_on(tracee, self._before.get(tid, UNSEEN))
            tracee.release()
        self.tracees.clear()
        if self._is_held:
            self._is_held = False
            self._hold.__exit__(None, None, None)

    def _have_it_wait_on(self, tracee: Tracee, before: BeforeStop) -> None:
        if NATIVE is None:
            return
        try:
            at = NATIVE.result_offset
            if at is not None and tracee.read_word(at) != -errno.EINTR:
                return
            registers = tracee.read_registers()
            if not NATIVE.is_native(registers):
                return
            waiting_on = waits_on(self.pid, tracee.tid, NATIVE, registers, before)
            if waiting_on is None:
                return
            if NATIVE.number_is_apart:  # there it has to come to its call first
                OwnCallCaller.begin_again(tracee, NATIVE, registers, waiting_on).put_back()
            else:
                tracee.write_registers(waiting_on)
        except (
            ProcessLookupError,
            DirtytopError,
        ):  # it was killed, or never stopped: nothing is to be undone
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go on."""
        self.release()


def on_own_thread(work: Callable[[], Result]) -> Result:
    """Run `work` on a new thread and wait for it; whatever it still holds stopped goes on at its end."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - handed over whole, to be raised where it is awaited
            failure.append(error)

    thread = threading.Thread(target=run, name="stopping", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
