"""Stopping every thread of a process for a moment (ptrace(2))."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from engine.errors import TargetGone
from engine.kernel.process import thread_ids
from engine.kernel.ptrace import STOP_TIMEOUT_S, Tracee

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

    def __enter__(self) -> Self:
        """Stop it.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced: it cannot be stopped, and has not been.
            NotSupported: a thread of it cannot be interrupted now.
        """
        self._since = time.perf_counter()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        try:
            # A running thread may start others until it has stopped itself.
            while fresh := [tid for tid in thread_ids(self.pid) if tid not in self.tracees]:
                for tracee in self._seize(fresh):
                    tracee.wait_stopped(deadline)
        except BaseException:
            self.release()
            raise
        return self

    def _seize(self, tids: list[int]) -> list[Tracee]:
        seized = []
        for tid in tids:
            try:
                tracee = Tracee(self.pid, tid)
                tracee.interrupt()
            except TargetGone:
                if tid == self.pid and len(tids) == 1:
                    raise
                continue  # this thread ended; the process may live on
            self.tracees[tid] = tracee
            seized.append(tracee)
        if not seized and not self.tracees:
            raise TargetGone(f"process {self.pid} has exited", pid=self.pid)
        return seized

    @property
    def stopped_us(self) -> int:
        """How long it has been stopped, in microseconds, from the first request on."""
        return int((time.perf_counter() - self._since) * 1e6)

    def release(self) -> None:
        """Let every thread go on. May be called twice."""
        for tracee in self.tracees.values():
            tracee.release()
        self.tracees.clear()

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
