"""Stopping threads that go on again whatever becomes of us (ptrace(2)).

`PTRACE_SEIZE` and `PTRACE_INTERRUPT` stop a thread without a signal. If the tracer dies, the kernel
lets the thread go on by itself; a process that was stopped before (state T) stays stopped.

The kernel ties a tracee to the *thread* that seized it: seize, use and release on one thread.
A thread of the target that cannot be stopped in time stays seized until the tracing thread ends,
so code that stops strangers does it on a thread of its own (`engine.kernel.stopping`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Final

from engine.errors import (
    AlreadyTraced,
    DirtytopError,
    NotStoppedInTime,
    NotSupported,
    TargetGone,
    from_os_error,
)
from engine.kernel.libc import MACHINE, checked, libc, system_call
from engine.kernel.process import read_stat, read_status

_PEEK_USER: Final = 3
_CONT: Final = 7
_DETACH: Final = 17
_SYSCALL: Final = 24
_GETSIGINFO: Final = 0x4202
_GETREGSET: Final = 0x4204
_SETREGSET: Final = 0x4205
_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_GETSIGMASK: Final = 0x420A
_SETSIGMASK: Final = 0x420B
_GET_RSEQ_CONFIGURATION: Final = 0x420F
_SET_DISPATCH: Final = 0x4210
_GET_DISPATCH: Final = 0x4211

_MARK_SYSTEM_CALLS: Final = 1 << 0
"""Seize option PTRACE_O_TRACESYSGOOD: a stop at a system call is told by a number that no signal has."""

SUSPEND_SECCOMP: Final = 1 << 21
"""Seize option: seccomp filters do not apply while traced (needs CAP_SYS_ADMIN; Linux 4.3)."""

_EVENT_STOP: Final = 128
_SIGNAL_BYTES: Final = 128
_SENT_TO_THREAD: Final = -6  # SI_TKILL
_TGKILL: Final = {"x86_64": 234, "aarch64": 131}.get(MACHINE, -1)
_SYSTEM_CALL_STOP: Final = signal.SIGTRAP | 0x80
_WAIT_ALL: Final = 0x40000000  # __WALL: threads too

NT_PRSTATUS: Final = 1
NT_FPREGSET: Final = 2
NT_X86_XSTATE: Final = 0x202
NT_ARM_TLS: Final = 0x401
NT_ARM_SYSTEM_CALL: Final = 0x404

_GENERAL_BYTES: Final = 512
_MOST_BYTES: Final = 16384
"""More than any set has; the extended state of x86-64 with AMX takes 11 KiB."""

STOP_TIMEOUT_S: Final = 2.0

_JOB_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""Signals that stop a process, until SIGCONT (state T)."""

_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""What an instruction brings about itself, whatever signals are blocked."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _RseqConfiguration(ctypes.Structure):
    _fields_ = (
        ("pointer", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("signature", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class _Dispatch(ctypes.Structure):
    """`struct ptrace_sud_config`."""

    _fields_ = (
        ("mode", ctypes.c_uint64),
        ("selector", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    )


class Tracee:
    """One thread of another process, seized by this thread of ours."""

    def __init__(self, pid: int, tid: int, options: int = 0) -> None:
        """Seize it; it runs on until `interrupt`.

        Raises:
            TargetGone: the thread has exited.
            AlreadyTraced: another program traces it.
            NotPermitted: we may not.
        """
        self.pid = pid
        self.tid = tid
        self._held_back: list[tuple[int, bool]] = []
        """Signals that wait for the end, and whether each was sent to this thread, and not to the process."""
        self._is_job_stopped = False
        try:
            self._call(_SEIZE, 0, options | _MARK_SYSTEM_CALLS)
        except OSError as error:
            raise _refusal(error, pid, tid) from error

    # -- stopping and going on

    def interrupt(self) -> None:
        """Ask it to stop; `wait_stopped` waits until it has."""
        with _gone_is_an_error(self.pid):
            self._call(_INTERRUPT)

    def wait_stopped(self, deadline: float) -> None:
        """Wait until it has stopped. Signals on their way are delivered to it first.

        Args:
            deadline: `time.monotonic()` to give up at.

        Raises:
            TargetGone: it exited instead.
            NotSupported: it is in a state that cannot be interrupted.
        """
        while True:
            event, number = self._wait(deadline)
            if event == _EVENT_STOP:
                self._is_job_stopped = number in _JOB_STOPS
                return
            is_signal = event == 0 and number != _SYSTEM_CALL_STOP
            with _gone_is_an_error(self.pid):
                self._call(_CONT, 0, number if is_signal else 0)

    def must_not_run(self) -> bool:
        """Whether its process was stopped by a signal besides (state T), as of the last stop."""
        return self._is_job_stopped

    def run_to_call(self, deadline: float, signalled: bytes | None = None) -> bool:
        """Let it run until it makes a system call, and stop it there, before the kernel does anything.

        Signals are delivered on the way, and their handlers run. Neither stop takes a signal (a single
        step would take SIGTRAP, and make the kernel forget how the target handles that).

        Args:
            deadline: `time.monotonic` to give up at.
            signalled: the registers that the first handler is to find, other than there are.

        Returns:
            Whether a signal was delivered. One that stops the process stops it here: see `must_not_run`.

        Raises:
            TargetGone: it exited instead.
            NotStoppedInTime: it made no call before the deadline, and runs.
        """
        delivered = False
        number = 0
        while True:
            with _gone_is_an_error(self.pid):
                self._call(_SYSCALL, 0, number)
            event, number = self._wait(deadline)
            if event == 0 and number == _SYSTEM_CALL_STOP:
                return delivered
            if event:
                self._is_job_stopped = number in _JOB_STOPS
                if self._is_job_stopped:
                    return delivered
                number = 0
                continue
            if not delivered and signalled is not None:
                with _gone_is_an_error(self.pid):
                    self.write_registers(signalled)
            delivered = True

    def finish_call(self, deadline: float) -> None:
        """Have the kernel do the system call that it is about to make, and stop at the end of that.

        Errors as of `run_to_call`.
        """
        with _gone_is_an_error(self.pid):
            self._call(_SYSCALL)
        self._wait(deadline)

    def make_system_call(self, deadline: float) -> None:
        """Have it make the system call that its registers say, and stop at the end of it.

        All signals must be blocked.

        Raises:
            TargetGone: it exited instead.
            NotSupported: no system call can be made there.
        """
        while True:
            with _gone_is_an_error(self.pid):
                self._call(_SYSCALL)
            event, number = self._wait(deadline)
            if event == 0 and number == _SYSTEM_CALL_STOP:
                break
            if event == 0 and number in _FAULTS:
                name = signal.Signals(number).name
                raise NotSupported(f"process {self.pid}: {name} instead of a system call", pid=self.pid)
            if event == 0:
                # Only SIGSTOP gets past a full signal mask: it is handed over at the end.
                self._held_back.append((number, self._signal_code() == _SENT_TO_THREAD))
        self.finish_call(deadline)

    def release(self) -> None:
        """Let it go on as it was. It must be stopped; a thread that has exited needs no release."""
        with suppress(ProcessLookupError):
            try:
                for number, is_for_thread in self._held_back:  # where it waited, so that it waits there again
                    if is_for_thread:
                        system_call(_TGKILL, self.pid, self.tid, number)
                    else:
                        os.kill(self.pid, number)
            except PermissionError:
                self._call(_DETACH, 0, self._held_back[0][0])
            else:
                self._call(_DETACH)

    def _signal_code(self) -> int:
        """`si_code` of the signal that it has stopped at."""
        return int.from_bytes(self.read_siginfo()[8:12], sys.byteorder, signed=True)

    def _wait(self, deadline: float) -> tuple[int, int]:
        """The next stop as (ptrace event, signal number)."""
        pause_s = 0.0
        while True:
            try:
                waited, status = os.waitpid(self.tid, _WAIT_ALL | os.WNOHANG)
            except ChildProcessError as error:
                raise _exited(self.pid) from error
            if waited:
                break
            if time.monotonic() > deadline:
                raise NotStoppedInTime(
                    f"process {self.pid}: thread {self.tid} cannot be stopped "
                    f"(state {read_stat(self.pid, self.tid).state})",
                    pid=self.pid,
                    hint="it waits inside the kernel, for a disk or for the child of a vfork; try again",
                )
            time.sleep(pause_s)
            pause_s = min(0.001, pause_s + 0.00002)
        if not os.WIFSTOPPED(status):
            raise _exited(self.pid)
        return status >> 16, os.WSTOPSIG(status)

    # -- what a stopped thread holds

    def read_siginfo(self) -> bytes:
        """`siginfo_t` of what it has stopped for.

        Raises:
            OSError: EINVAL where it has been stopped by job control.
            TargetGone: it was killed.
        """
        found = ctypes.create_string_buffer(_SIGNAL_BYTES)
        with _gone_is_an_error(self.pid):
            self._call(_GETSIGINFO, 0, ctypes.addressof(found))
        return found.raw

    def read_registers(self, kind: int = NT_PRSTATUS) -> bytes:
        """One register set, as long as the kernel has it.

        Raises:
            OSError: EINVAL or ENODEV where the processor has no such set.
        """
        room = _GENERAL_BYTES if kind == NT_PRSTATUS else _MOST_BYTES
        buffer = ctypes.create_string_buffer(room)
        vector = _Vector(ctypes.addressof(buffer), room)
        self._call(_GETREGSET, kind, ctypes.addressof(vector))
        return buffer.raw[: vector.length]

    def read_word(self, offset: int) -> int:
        """One word of `struct user`, signed, which x86-64 has: quicker than all registers. Raises OSError."""
        ctypes.set_errno(0)
        word = int(libc.ptrace(_PEEK_USER, self.tid, offset, 0))
        if word == -1 and (error := ctypes.get_errno()):
            raise OSError(error, os.strerror(error))
        return word

    def write_registers(self, registers: bytes, kind: int = NT_PRSTATUS) -> None:
        """Set one register set. Errors as of `read_registers`."""
        buffer = ctypes.create_string_buffer(registers, len(registers))
        vector = _Vector(ctypes.addressof(buffer), len(registers))
        self._call(_SETREGSET, kind, ctypes.addressof(vector))

    def read_signal_mask(self) -> int:
        """The blocked signals, one bit each. Raises OSError."""
        mask = ctypes.c_uint64()
        self._call(_GETSIGMASK, 8, ctypes.addressof(mask))
        return mask.value

    def write_signal_mask(self, blocked: int) -> None:
        """Set the blocked signals. Raises OSError."""
        mask = ctypes.c_uint64(blocked)
        self._call(_SETSIGMASK, 8, ctypes.addressof(mask))

    def suspend_dispatch(self) -> bytes | None:
        """Have its system calls reach the kernel, and not a handler of its own.

        Programs that run others' code (Wine) divert calls so: prctl(2), PR_SET_SYSCALL_USER_DISPATCH.

        Returns:
            How it was, for `resume_dispatch`; None if nothing had to be done, or the kernel does not
            tell (before 6.4).
        """
        dispatch = _Dispatch()
        try:
            self._call(_GET_DISPATCH, ctypes.sizeof(dispatch), ctypes.addressof(dispatch))
        except OSError as error:
            if error.errno in (errno.EIO, errno.EINVAL):
                return None
            raise
        if not dispatch.mode:
            return None
        before = bytes(dispatch)
        self._set_dispatch(bytes(ctypes.sizeof(dispatch)))
        return before

    def resume_dispatch(self, before: bytes) -> None:
        """As it was before `suspend_dispatch`. Raises OSError."""
        self._set_dispatch(before)

    def _set_dispatch(self, configuration: bytes) -> None:
        buffer = ctypes.create_string_buffer(configuration, len(configuration))
        self._call(_SET_DISPATCH, len(configuration), ctypes.addressof(buffer))

    def rseq_pointer(self) -> int:
        """Where its restartable-sequence area is; 0 if it has none or the kernel does not tell (5.13)."""
        configuration = _RseqConfiguration()
        try:
            self._call(_GET_RSEQ_CONFIGURATION, ctypes.sizeof(configuration), ctypes.addressof(configuration))
        except OSError as error:
            if error.errno in (errno.EIO, errno.EINVAL):
                return 0
            raise
        return int(configuration.pointer)

    def _call(self, request: int, address: int = 0, data: int = 0) -> None:
        checked(libc.ptrace(request, self.tid, address, data))


class _gone_is_an_error:  # noqa: N801 - reads as a phrase where it is used
    """ESRCH from ptrace about a thread we hold means that it was killed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno == errno.ESRCH:
            raise _exited(self._pid) from error


def _exited(pid: int) -> TargetGone:
    return TargetGone(f"process {pid} exited while it was being stopped", pid=pid)


def already_traced(pid: int, tracer: int) -> AlreadyTraced:
    """What to tell of a process that has a tracer. Raises TargetGone: the tracer has exited."""
    name = read_stat(tracer).command
    return AlreadyTraced(
        f"process {pid} is already traced by {name} (pid {tracer})",
        pid=pid,
        hint=f"only one tracer at a time is possible: end {name}, or let it detach",
    )


def _refusal(error: OSError, pid: int, tid: int) -> DirtytopError:
    """Why a thread could not be seized."""
    if error.errno == errno.EPERM:
        status = read_status(pid, tid)
        tracer = int(status.get("TracerPid", "0"))
        if tracer:
            return already_traced(pid, tracer)
        if status.get("State", "")[:1] in "ZX":
            return _exited(pid)
    return from_os_error(error, pid, "stop it")
