"""Making one system call inside another process, without changing a byte of its memory.

One thread is stopped for it; the others never are. It makes the call in the place of one of its own
(`engine.kernel.own_call`), or where it makes none, at an instruction in its vDSO (`engine.kernel.vdso_call`).

A stop is not the same to all threads (`engine.kernel.waits`): a thread is borrowed to which it does no harm,
if there is one. If there is none, and the stop has cut a call short, its thread waits on in that call
afterwards (`engine.kernel.waiting_on`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.errors import AlreadyTraced, NotPermitted, NotSupported, TargetGone
from engine.kernel import ptrace
from engine.kernel.held import Hold
from engine.kernel.own_call import JobStopped, OwnCallCaller
from engine.kernel.process import read_stat, read_status, thread_ids
from engine.kernel.registers import NATIVE, Architecture
from engine.kernel.vdso_call import VdsoCaller, find_system_call, is_inside_rseq
from engine.kernel.waiting_on import BeforeStop, Lookout
from engine.kernel.waits import Harm, harm_of_stopping

_RSEQ_TRIES: Final = 50

_HARMLESS: Final = (False, Harm.NONE)
_WORTH_WAITING: Final = (False, Harm.SHORT)
"""Whether it cannot be interrupted, and what a stop does to it."""
_MOST_LOOKED_AT: Final = 32
"""Threads among which the one to be borrowed is chosen."""
_LOOKS: Final = 10
_BETWEEN_LOOKS_S: Final = 0.002
"""Where every thread is in a call that would end short or late, a few moments are waited for a better one."""


class RemoteCaller:
    """A stopped thread that makes system calls for us. Obtained from `borrowed_thread`."""

    def __init__(self, tracee: ptrace.Tracee, caller: OwnCallCaller | VdsoCaller) -> None:
        self._pid = tracee.pid
        self._tracee = tracee
        self._caller = caller
        self.tid = tracee.tid
        self.stopped_us = 0
        """How long the thread was stopped; known once it goes on again."""

    def call(self, number: int, *arguments: int) -> int:
        """Make a system call there.

        Returns:
            Its result; never negative.

        Raises:
            OSError: the kernel refused the call.
            TargetGone: the process was killed meanwhile.
        """
        try:
            try:
                result = self._caller.call(number, arguments)
            except JobStopped:
                self._caller = _at_its_vdso(self._tracee)
                result = self._caller.call(number, arguments)
        except ProcessLookupError as error:
            raise TargetGone(
                f"process {self._pid} exited while a system call was made in it", pid=self._pid
            ) from error
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def put_back(self) -> None:
        """The thread is as it was, and only has to be released. Raises OSError (ESRCH): it was killed."""
        self._caller.put_back()


@contextmanager
def borrowed_thread(pid: int) -> Iterator[RemoteCaller]:
    """Stop one thread of `pid`, lend it for system calls, and let it go on exactly as it was.

    Raises:
        TargetGone, NotPermitted, AlreadyTraced: it cannot be stopped.
        NotSupported: an architecture we do not know, a 32-bit program, a process in strict seccomp
            mode that we may not lift, or a thread that the kernel will not interrupt.
    """
    if NATIVE is None:
        raise NotSupported(f"process {pid}: no system call can be made in it on this architecture", pid=pid)
    with Hold():
        tracee, caller, since = _stopped_at_a_call(pid, NATIVE)
        remote = RemoteCaller(tracee, caller)
        try:
            try:
                yield remote
            finally:
                remote.put_back()
        except ProcessLookupError as error:
            raise TargetGone(f"process {pid} exited while a thread of it was borrowed", pid=pid) from error
        finally:
            tracee.release()
            remote.stopped_us = int((time.perf_counter() - since) * 1e6)


def _stopped_at_a_call(
    pid: int, architecture: Architecture
) -> tuple[ptrace.Tracee, OwnCallCaller | VdsoCaller, float]:
    """A thread that can make calls for us, and by `time.perf_counter` since when it is stopped."""
    for _ in range(_RSEQ_TRIES):
        tracee, before = _seize_living_thread(pid)
        since = time.perf_counter()
        try:
            tracee.interrupt()
            tracee.wait_stopped(time.monotonic() + ptrace.STOP_TIMEOUT_S)
            registers = tracee.read_registers()
            if not architecture.is_native(registers):
                raise NotSupported(f"process {pid}: a 32-bit program cannot be tracked", pid=pid)
            own_call = OwnCallCaller.reach(tracee, architecture, registers, before)
            if own_call is not None:
                return tracee, own_call, time.perf_counter() if own_call.has_run else since
            registers, since = tracee.read_registers(), time.perf_counter()
            if not is_inside_rseq(tracee, architecture.program_counter(registers)):
                return tracee, _at_its_vdso(tracee), since
        except BaseException:
            tracee.release()
            raise
        tracee.release()
        time.sleep(0.0002)
    raise NotSupported(f"process {pid}: always inside a restartable sequence; try again", pid=pid)


def _at_its_vdso(tracee: ptrace.Tracee) -> VdsoCaller:
    """Borrow the registers of a stopped thread; no other program can be started in it now."""
    assert NATIVE is not None
    return VdsoCaller(tracee, NATIVE, tracee.read_registers(), find_system_call(tracee.pid, NATIVE))


def _seize_living_thread(pid: int) -> tuple[ptrace.Tracee, BeforeStop]:
    """Seize the thread to which a stop does least harm, and what it does."""
    options = _seccomp_options(pid)
    lookout = Lookout(pid)
    for tid in _by_harm(pid):
        try:
            before = lookout.look(tid)
            return ptrace.Tracee(pid, tid, options), before
        except TargetGone:  # that thread ended between the list and now
            continue
        except NotPermitted as error:
            if options and not isinstance(error, AlreadyTraced):
                raise NotSupported(
                    f"process {pid} is confined by seccomp: a system call made in it could kill it",
                    pid=pid,
                    hint="run as root with CAP_SYS_ADMIN, which may lift the filter for that one call",
                ) from error
            raise
    raise TargetGone(f"process {pid} has exited", pid=pid)


def _by_harm(pid: int) -> list[int]:
    """The living threads of a process, by what a stop does to them; the leader before its equals."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_BETWEEN_LOOKS_S)
        harms: dict[int, tuple[bool, Harm]] = {}
        for tid in thread_ids(pid)[:_MOST_LOOKED_AT]:
            try:
                stat = read_stat(pid, tid)
            except TargetGone:
                continue
            if not stat.is_dead and not stat.is_kernels_worker:
                harms[tid] = stat.state == "D", harm_of_stopping(pid, tid)
            if harms.get(tid) == _HARMLESS:
                break
        if harms and min(harms.values()) < _WORTH_WAITING:
            break
    return sorted(harms, key=harms.__getitem__)


def _seccomp_options(pid: int) -> int:
    return 0 if read_status(pid).get("Seccomp", "0") == "0" else ptrace.SUSPEND_SECCOMP
