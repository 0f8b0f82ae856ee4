"""Making system calls on a thread that makes none itself: at the instruction in its vDSO.

The kernel maps a `syscall` instruction into every process, the one in the vDSO. The thread's program
counter is pointed there until the call is made, and its registers are put back. Signals are blocked for
that moment: no handler may run on borrowed registers. A thread inside a restartable sequence (rseq(2))
must not be borrowed, because the kernel would forget to abort the sequence.

If we are killed in the middle, the thread goes on with borrowed registers, and its program most likely
crashes. This is therefore only for a thread that computes and computes, and for a process that was stopped by
a signal, which must not run to a call of its own; `engine.kernel.own_call` is for all others.
"""

from __future__ import annotations

import os
import re
import struct
import time
from typing import Final

from engine.errors import DirtytopError, NotSupported, kernel_errors
from engine.kernel import ptrace
from engine.kernel.process import memory_file
from engine.kernel.registers import Architecture

_ALL_SIGNALS: Final = (1 << 64) - 1
_EXECUTABLE: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r-x. [^ ]+ [^ ]+ [0-9]+ *([^\n]*)$", re.MULTILINE)
_NO_SYSTEM_CALL: Final = struct.pack("<i", -1)


class VdsoCaller:
    """A stopped thread whose registers are borrowed for calls, until `put_back`."""

    def __init__(
        self, tracee: ptrace.Tracee, architecture: Architecture, registers: bytes, address: int
    ) -> None:
        """Borrow them.

        Args:
            tracee: stopped, outside restartable sequences.
            architecture: the processor's.
            registers: of the thread.
            address: of a system call instruction (`find_system_call`).

        Raises:
            OSError: ESRCH if it was killed.
        """
        self._tracee = tracee
        self._architecture = architecture
        self._registers = registers
        self._address = address
        self._mask = tracee.read_signal_mask()
        tracee.write_signal_mask(_ALL_SIGNALS)
        self._dispatch = tracee.suspend_dispatch()

    def call(self, number: int, arguments: tuple[int, ...]) -> int:
        """Make a call; its result, negative if it failed. Errors as of `Tracee.make_system_call`."""
        self._tracee.write_registers(
            self._architecture.calling(self._registers, self._address, number, arguments)
        )
        self._tracee.make_system_call(time.monotonic() + ptrace.STOP_TIMEOUT_S)
        return self._architecture.result(self._tracee.read_registers())

    def put_back(self) -> None:
        """The thread is as it was, and only has to be released. Raises OSError (ESRCH): it was killed."""
        self._tracee.write_registers(self._registers)
        if self._architecture.number_is_apart:
            # What stands in its registers now is not the result of the call that we made.
            self._tracee.write_registers(_NO_SYSTEM_CALL, ptrace.NT_ARM_SYSTEM_CALL)
        if self._dispatch is not None:
            self._tracee.resume_dispatch(self._dispatch)
        self._tracee.write_signal_mask(self._mask)


def find_system_call(pid: int, architecture: Architecture) -> int:
    """The address of a system call instruction that is already mapped there.

    Raises:
        TargetGone, NotPermitted: its memory is not there, or not ours to read.
        NotSupported: it has none, so it is no ordinary program.
    """
    with kernel_errors(pid, "look for a system call instruction in it"):
        with open(memory_file(pid, "maps"), "rb", 0) as maps:
            lines = maps.readall() or b""
        executable = _EXECUTABLE.findall(lines)
        executable.sort(key=lambda found: found[2] != b"[vdso]")  # a file's name is an absolute path
        memory = os.open(memory_file(pid, "mem"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for low, high, _ in executable:
                start = int(low, 16)
                code = os.pread(memory, min(int(high, 16) - start, 1 << 20), start)
                at = code.find(architecture.system_call_instruction)
                while at >= 0 and at % architecture.instruction_alignment:
                    at = code.find(architecture.system_call_instruction, at + 1)
                if at >= 0:
                    return start + at
        finally:
            os.close(memory)
    raise NotSupported(f"process {pid}: no system call instruction is mapped in it", pid=pid)


def is_inside_rseq(tracee: ptrace.Tracee, program_counter: int) -> bool:
    """Whether the thread is between the start and the commit of a restartable sequence."""
    area = tracee.rseq_pointer()
    if not area:
        return False
    try:
        memory = os.open(f"/proc/{tracee.tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DirtytopError(f"process {tracee.pid}: its memory cannot be read", pid=tracee.pid) from error
    try:
        (sequence,) = struct.unpack("<Q", os.pread(memory, 8, area + 8))
        if not sequence:
            return False
        _, _, start, length, _ = struct.unpack("<IIQQQ", os.pread(memory, 32, sequence))
    except (OSError, struct.error):  # a stale pointer: the kernel would ignore it too
        return False
    finally:
        os.close(memory)
    return bool(start <= program_counter < start + length)
