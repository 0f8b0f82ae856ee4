"""A whole process tree, stopped together for a dump."""

from __future__ import annotations

import os
import signal
import time
from types import TracebackType
from typing import Self

from engine.checkpoint.freeze_limit import Freeze
from engine.checkpoint.link import After
from engine.errors import TargetGone
from engine.kernel.process import Identity, require_same
from engine.kernel.smaps import SmapsEntry, read_smaps
from engine.kernel.stopping import StoppedProcess
from engine.tracking.session import Session


class FrozenTree:
    """Every thread of every process of a session, stopped from `with` to the end of it.

    To be used on a thread of its own (`on_own_thread`), which holds the tracees; when it ends, or
    we are killed, the kernel lets the tree go on.
    """

    def __init__(self, session: Session, most_s: float) -> None:
        """Nothing is stopped yet.

        Args:
            session: whose processes are to be stopped.
            most_s: for how long at most, in all. The caller asks `freeze` whether that is over.
        """
        self._session = session
        self.freeze = Freeze(session.root.pid, most_s)
        self._since = 0.0
        self.stopped: dict[Identity, StoppedProcess] = {}
        self._stopped_us = 0
        self.freezing_us = 0
        """How long it took until all of it was stopped."""

    def __enter__(self) -> Self:
        """Stop the tree. Children born meanwhile are stopped too.

        Raises:
            TargetGone: the root has exited.
            NotPermitted, AlreadyTraced, NotSupported: a process cannot be stopped; all go on.
        """
        self.freeze.begin()
        self._since = time.perf_counter()
        try:
            while self._stop_new():
                self._session.follow_tree(arm=False)  # a child that is born now is saved in full anyway
        except BaseException:
            self.release()
            raise
        self.freezing_us = self._elapsed_us()
        return self

    def _stop_new(self) -> bool:
        """Stop what is not stopped yet; whether there was any."""
        with self._session.held() as processes:
            fresh = [each.identity for each in processes if each.identity not in self.stopped]
        for identity in fresh:
            stopped = StoppedProcess(identity.pid)
            try:
                stopped.__enter__()
            except TargetGone:
                if identity == self._session.root:
                    raise
                continue
            self.stopped[identity] = stopped
        return bool(fresh)

    def release(self, after: After = After.RUN) -> None:
        """Let the tree go on, stay stopped by SIGSTOP, or end it. May be called twice."""
        number = {After.STOP: signal.SIGSTOP, After.KILL: signal.SIGKILL}.get(after)
        if number is not None:
            for identity in self.stopped:
                try:
                    require_same(identity)
                    os.kill(identity.pid, number)
                except (TargetGone, ProcessLookupError):  # ended by somebody else meanwhile
                    continue
        for stopped in self.stopped.values():
            stopped.release()
        if self.stopped:
            self._stopped_us = self._elapsed_us()
        self.stopped.clear()
        self.freeze.end()

    @property
    def stopped_us(self) -> int:
        """For how long the tree has been stopped until now, or was until it went on."""
        return self._elapsed_us() if self.stopped else self._stopped_us

    def _elapsed_us(self) -> int:
        return int((time.perf_counter() - self._since) * 1e6)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go on, unless `release` was called."""
        self.release()


def read_flags(session: Session) -> dict[int, list[SmapsEntry]]:
    """Flags of mappings, by pid. Making smaps walks all pages: it is done before the tree is stopped."""
    flags = {}
    with session.held() as processes:
        pids = [process.identity.pid for process in processes]
    for pid in pids:
        try:
            flags[pid] = read_smaps(pid)
        except TargetGone:
            continue
    return flags
