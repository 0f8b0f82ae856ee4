"""Making system calls of ours in the place of a thread's own.

A thread that is stopped at the entry of a system call of its own (PTRACE_SYSCALL) is given another one to
make. At the end of that its registers are such that it makes its own, as if nothing had been. Neither code
nor signals have a part in it. If we are killed meanwhile, the thread simply goes on with its own call. Only
in the few microseconds in which the kernel works on our call would the thread's return what ours did.

A thread that waited in the call had been interrupted in it by the stop. How it was interrupted is kept, and
told to the kernel when the thread goes on: the kernel then does what it would have done, also for signals
that came meanwhile.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from engine.errors import DirtytopError, NotStoppedInTime
from engine.kernel import ptrace
from engine.kernel.registers import ERESTARTNOHAND, Architecture
from engine.kernel.waiting_on import BeforeStop, waits_on

_NO_SYSTEM_CALL: Final = struct.pack("<i", -1)
_SOME_SYSTEM_CALL: Final = struct.pack("<i", 0)
"""Says that there was one; which, does not matter any more."""
_NEXT_CALL_S: Final = 0.02
"""As long a thread that was in no call is waited for to make one."""


class JobStopped(DirtytopError):
    """A thread cannot come to a call of its own, because its process has been stopped."""


class OwnCallCaller:
    """A thread that is stopped at a system call of its own, and makes others for us, until `put_back`."""

    def __init__(self, tracee: ptrace.Tracee, architecture: Architecture, entry: bytes) -> None:
        self._tracee = tracee
        self._architecture = architecture
        self._entry = entry
        """The registers at the entry of its own call."""
        self._code: int | None = None
        """How that was interrupted, if it was."""
        self._is_at_entry = True
        self.has_run = False
        """Whether it ran on until it made a call."""

    @classmethod
    def reach(
        cls, tracee: ptrace.Tracee, architecture: Architecture, registers: bytes, before: BeforeStop
    ) -> OwnCallCaller | None:
        """Have the thread come to its own call: at once where it waited in one, else soon.

        Args:
            tracee: stopped.
            architecture: the processor's.
            registers: of the thread.
            before: what it did before it was stopped.

        Returns:
            None if it makes no call, or must not run to one; it is stopped again then.

        Raises:
            TargetGone: it exited instead.
        """
        if tracee.must_not_run():
            return None
        code = architecture.restart_code(registers, before.wait)
        waiting_on = None
        if code is None:
            waiting_on = waits_on(tracee.pid, tracee.tid, architecture, registers, before)
            if waiting_on is not None:
                tracee.write_registers(waiting_on)
                code = ERESTARTNOHAND
        try:
            has_handled = tracee.run_to_call(
                time.monotonic() + (_NEXT_CALL_S if code is None else ptrace.STOP_TIMEOUT_S),
                registers if waiting_on is not None and architecture.number_is_apart else None,
            )
        except NotStoppedInTime:
            tracee.interrupt()
            tracee.wait_stopped(time.monotonic() + ptrace.STOP_TIMEOUT_S)
            return None
        if tracee.must_not_run():
            return None
        caller = cls(tracee, architecture, tracee.read_registers())
        caller._code = None if has_handled else code
        caller.has_run = code is None
        return caller

    @classmethod
    def begin_again(
        cls, tracee: ptrace.Tracee, architecture: Architecture, registers: bytes, waiting_on: bytes
    ) -> OwnCallCaller:
        """Have a stopped thread come to the call that the stop has cut short, to wait on in it (`waits_on`).

        Args:
            tracee, architecture, registers: as of `reach`.
            waiting_on: the registers with which it begins the call again.

        Raises:
            TargetGone: it exited instead.
        """
        tracee.write_registers(waiting_on)
        has_handled = tracee.run_to_call(time.monotonic() + ptrace.STOP_TIMEOUT_S, registers)
        caller = cls(tracee, architecture, tracee.read_registers())
        caller._code = None if has_handled or tracee.must_not_run() else ERESTARTNOHAND
        return caller

    def call(self, number: int, arguments: tuple[int, ...]) -> int:
        """Make a call; its result, negative if it failed.

        Raises:
            JobStopped: its process has been stopped by a signal, and it must not run to its next call.
            TargetGone, NotStoppedInTime: as of `Tracee.run_to_call`.
        """
        tracee, architecture = self._tracee, self._architecture
        deadline = time.monotonic() + ptrace.STOP_TIMEOUT_S
        if not self._is_at_entry:
            code = self._code
            signalled = None if code is None else architecture.signalled(self._entry, code)
            if tracee.run_to_call(deadline, signalled):
                self._code = None
            if tracee.must_not_run():
                self._code = None
                raise JobStopped(f"process {tracee.pid} has been stopped by a signal", pid=tracee.pid)
            self._entry = tracee.read_registers()
        ours = architecture.substituting(self._entry, number, arguments)
        again = architecture.again(self._entry)
        # What is between here and there is all that must not be interrupted.
        tracee.write_registers(ours)
        if architecture.number_is_apart:
            tracee.write_registers(struct.pack("<i", number), ptrace.NT_ARM_SYSTEM_CALL)
        tracee.finish_call(deadline)
        result = architecture.result(tracee.read_registers())
        tracee.write_registers(again)
        if architecture.number_is_apart:
            tracee.write_registers(_NO_SYSTEM_CALL, ptrace.NT_ARM_SYSTEM_CALL)
        self._is_at_entry = False
        return result

    def put_back(self) -> None:
        """The thread is as it was, and only has to be released. Raises OSError (ESRCH): it was killed."""
        was_interrupted = self._code is not None
        if not was_interrupted or (self._is_at_entry and not self._architecture.number_is_apart):
            return
        if self._architecture.number_is_apart:
            # The kernel keeps the first argument of the last call, and begins the thread's own again with it.
            try:
                self.call(self._architecture.harmless_call, ())
            except JobStopped:  # as the signal was delivered, the kernel has seen to the interrupted call
                return
        code = self._code
        if code is None:  # the handler of a signal has run just now
            return
        if self._architecture.number_is_apart:
            self._tracee.write_registers(_SOME_SYSTEM_CALL, ptrace.NT_ARM_SYSTEM_CALL)
        self._tracee.write_registers(self._architecture.interrupted(self._entry, code))
