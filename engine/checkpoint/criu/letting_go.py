"""Makes a CRIU that does not let go of its target by itself do so, with the least harm that is possible.

While CRIU works, the target runs CRIU's code with CRIU's registers. A CRIU that fails undoes all of that. So
it is made to fail, and so is the call that it waits in, in vain. To end it is the last resort, and done only
at a moment at which that is harmless (`engine.checkpoint.criu.in_target`). In this order:

1. At once, every write to a file is made to fail (RLIMIT_FSIZE), and CRIU is woken if somebody has stopped
   it. A CRIU that works then lets go within some tens of milliseconds, and is left in peace for as long
   as it does anything at all.
2. If it stands still, the programs that it waits for (iptables, scripts) are ended. Where there are none, the
   call that it waits in is made to fail (EIO): the open of a fifo, the read of a socket.
3. If that does not help it is killed, at a moment when all that it has in the target leaves by itself.
4. One that does not end even then waits in the kernel, most likely for a disk, and is left alone: the target
   goes on once that answers.

If we are killed, another process does all this: see `engine.checkpoint.criu.guardian`.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from engine.checkpoint.criu.in_target import Grip, grip_on
from engine.errors import DirtytopError, TargetGone
from engine.kernel.process import Identity, ProcessStat, child_processes, require_same
from engine.kernel.registers import NATIVE
from engine.kernel.stopping import StoppedProcess, on_own_thread
from engine.kernel.waits import read_wait

_AGAIN_S: Final = 1.0
"""From one attempt of a kind to the next."""
_UNINTERRUPTIBLE: Final = "D"
_STOPPED: Final = "T"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each step is put off, in seconds."""

    fail_s: float = 0.5
    """Standing still, until the call that it waits in is made to fail."""
    helpers_s: float = 2.0
    """Standing still, until programs that it waits for are ended."""
    end_s: float = 4.0
    """From the beginning, until it is killed, if it stands still and that is harmless."""
    busy_s: float = 10.0
    """From the beginning, until it is killed although it does something."""
    leave_s: float = 10.0
    """From a kill, until one that does not end is left alone."""


PATIENCE: Final = Patience()


class LettingGo:
    """Takes these steps one by one, each when `step` is called and it is due; none takes long."""

    def __init__(
        self,
        criu: Identity,
        root: Identity,
        patience: Patience = PATIENCE,
    ) -> None:
        """Nothing is done yet.

        Args:
            criu: the process that was asked for a link.
            root: of the tree that it works on.
            patience: how long to wait for what.
        """
        self._criu = criu
        self._root = root
        self._patience = patience
        self._began_s = self._still_since_s = time.monotonic()
        self._seen: object = None
        """What it was last seen to do."""
        self._fail_due_s = 0.0
        """When the call is made to fail next, in seconds since the beginning."""
        self._killed_at_s: float | None = None
        self._why_not = ""
        self.is_left_alone = False
        """Whether it was killed, does not end, and nothing is left to be done about it."""

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began_s

    @property
    def was_killed(self) -> bool:
        """Whether it came to that."""
        return self._killed_at_s is not None

    def words(self) -> str:
        """What is going on, for people; half a line."""
        if self._killed_at_s is not None:
            return f"criu was killed, and has not ended ({self.elapsed_s:.0f} s)"
        why_not = f"; {self._why_not}" if self._why_not else ""
        return f"criu does not answer ({self.elapsed_s:.0f} s){why_not}"

    def step(self) -> bool:
        """Do what is due; False once CRIU has ended."""
        try:
            workers = [*child_processes({self._criu.pid}), require_same(self._criu)]
        except TargetGone:
            return False
        self._hinder_writing(workers)
        self._wake(workers)
        if self._killed_at_s is not None:
            self.is_left_alone = self.elapsed_s - self._killed_at_s >= self._patience.leave_s
            return True
        patience, elapsed_s, still_s = self._patience, self.elapsed_s, self._stands_still_for(workers)
        is_still = still_s >= patience.fail_s
        if is_still and elapsed_s >= self._fail_due_s:
            self._fail_due_s = elapsed_s + _AGAIN_S
            helpers = self._helpers(workers)
            if not helpers:
                self._fail_calls(workers)
            elif still_s >= patience.helpers_s:
                _kill(helpers)
        elif elapsed_s >= (patience.end_s if is_still else patience.busy_s):
            self._end(workers)
        return True

    def _stands_still_for(self, workers: list[ProcessStat]) -> float:
        """For how many seconds it has been seen to wait for the same things, and to do nothing."""
        seen = [(w.identity, w.state, w.fields[11:13], read_wait(w.pid, w.pid)) for w in workers]
        if seen != self._seen:
            self._seen, self._still_since_s = seen, time.monotonic()
        return time.monotonic() - self._still_since_s

    # -- having it fail

    def _hinder_writing(self, workers: list[ProcessStat]) -> None:
        """Let every further write to a file fail with EFBIG."""
        for worker in workers:
            with suppress(ProcessLookupError):
                resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, 0))

    def _wake(self, workers: list[ProcessStat]) -> None:
        for worker in workers:
            if worker.state == _STOPPED:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGCONT)

    def _helpers(self, workers: list[ProcessStat]) -> list[int]:
        """The programs that CRIU has started, without copies of itself."""
        itself = (_program(self._criu.pid), None)
        return [worker.pid for worker in workers if _program(worker.pid) not in itself]

    def _fail_calls(self, workers: list[ProcessStat]) -> None:
        tracers = self._grip().tracers
        for worker in workers:
            if worker.pid in tracers and worker.state != _UNINTERRUPTIBLE:
                with suppress(DirtytopError, OSError):  # it has ended, or somebody else traces it
                    on_own_thread(partial(self._fail_call, worker.pid))

    def _fail_call(self, pid: int) -> None:
        """Have the call that this worker waits in fail, if it waits in one, and that harms nobody."""
        if NATIVE is None:
            return
        wait = read_wait(pid, pid)
        with StoppedProcess(pid) as stopped:
            if self._grip().why_harmful:
                return
            tracee = stopped.tracees[pid]
            failing = NATIVE.failing(tracee.read_registers(), wait, errno.EIO)
            if failing is not None:
                tracee.write_registers(failing)

    def _grip(self) -> Grip:
        children = (stat.pid for stat in child_processes({self._criu.pid}))
        return grip_on(self._root, frozenset((self._criu.pid, *children)))

    # -- ending it

    def _end(self, workers: list[ProcessStat]) -> None:
        """Kill it, unless that would harm the target just now."""
        tracers = self._grip().tracers
        # One that waits uninterruptibly cannot be stopped, and stays where it is.
        held = [w.pid for w in workers if w.pid in tracers and w.state != _UNINTERRUPTIBLE]
        try:
            on_own_thread(lambda: self._end_while_held(held))
        except (DirtytopError, OSError) as error:  # somebody else traces it, say: it may move on meanwhile
            self._why_not = str(error)

    def _end_while_held(self, held: list[int]) -> None:
        if held:
            with StoppedProcess(held[0]):
                self._end_while_held(held[1:])
            return
        grip = self._grip()
        self._why_not = f"killing it would harm the target: {grip.why_harmful}" if grip.why_harmful else ""
        if grip.why_harmful:
            return
        _kill([*(stat.pid for stat in child_processes({self._criu.pid})), self._criu.pid])
        self._killed_at_s = self.elapsed_s


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _program(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
