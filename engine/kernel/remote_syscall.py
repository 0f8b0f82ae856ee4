"""Making one system call inside another process, without changing a byte of its code.

The kernel maps a `syscall` instruction into every process: the one in the vDSO. One thread is
stopped, its program counter pointed there for a single step, and its registers put back. The other
threads never stop. Signals are blocked for that moment, so that no handler runs on borrowed
registers; a thread inside a restartable sequence (rseq(2)) is let go and tried again, because the
kernel would forget to abort the sequence.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.errors import AlreadyTraced, DirtytopError, NotPermitted, NotSupported, TargetGone, kernel_errors
from engine.kernel import ptrace
from engine.kernel.process import read_stat, read_status, thread_ids
from engine.kernel.registers import NATIVE, Architecture

_ALL_SIGNALS = (1 << 64) - 1
_RSEQ_TRIES = 50


class RemoteCaller:
    """A stopped thread that makes system calls for us. Obtained from `borrowed_thread`."""

    def __init__(
        self, tracee: ptrace.Tracee, architecture: Architecture, registers: bytes, address: int
    ) -> None:
        self._tracee = tracee
        self._architecture = architecture
        self._registers = registers
        self._address = address
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
            result = self._call(number, arguments)
        except ProcessLookupError as error:
            pid = self._tracee.pid
            raise TargetGone(f"process {pid} exited while a system call was made in it", pid=pid) from error
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def _call(self, number: int, arguments: Sequence[int]) -> int:
        self._tracee.write_registers(
            self._architecture.calling(self._registers, self._address, number, arguments)
        )
        if self._architecture.name == "aarch64":
            self._tracee.write_registers(struct.pack("<i", -1), ptrace.NT_ARM_SYSTEM_CALL)
        self._tracee.step(time.monotonic() + ptrace.STOP_TIMEOUT_S)
        return self._architecture.result(self._tracee.read_registers())


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
    program = read_stat(pid).program
    address = find_system_call(pid, NATIVE)
    tracee, registers, since = _stopped_outside_rseq(pid, NATIVE)
    try:
        # Another program may have been started in it meanwhile, with anything at that address.
        if read_stat(pid).program != program:
            address = find_system_call(pid, NATIVE)
        caller = RemoteCaller(tracee, NATIVE, registers, address)
    except BaseException:
        tracee.release()
        raise
    try:
        mask = tracee.read_signal_mask()
        tracee.write_signal_mask(_ALL_SIGNALS)
        try:
            yield caller
        finally:
            _put_back(tracee, registers, mask)
    finally:
        tracee.release()
        caller.stopped_us = int((time.perf_counter() - since) * 1e6)


def _put_back(tracee: ptrace.Tracee, registers: bytes, mask: int) -> None:
    try:
        tracee.write_registers(registers)
        tracee.write_signal_mask(mask)
    except ProcessLookupError:  # killed meanwhile: nobody is left to put right
        pass


def find_system_call(pid: int, architecture: Architecture) -> int:
    """The address of a system call instruction that is already mapped there.

    Raises:
        TargetGone, NotPermitted: its memory is not there, or not ours to read.
        NotSupported: it has none, so it is no ordinary program.
    """
    with kernel_errors(pid, "look for a system call instruction in it"):
        with open(f"/proc/{pid}/maps", "rb", 0) as maps:
            lines = maps.readall() or b""
        executable = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r-x(.*)$", re.MULTILINE).findall(lines)
        executable.sort(key=lambda found: not found[2].endswith(b"[vdso]"))
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
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


def _stopped_outside_rseq(pid: int, architecture: Architecture) -> tuple[ptrace.Tracee, bytes, float]:
    """A stopped thread that may be borrowed, its registers, and since when it is stopped."""
    for _ in range(_RSEQ_TRIES):
        tracee = _seize_living_thread(pid)
        since = time.perf_counter()
        try:
            tracee.interrupt()
            tracee.wait_stopped(time.monotonic() + ptrace.STOP_TIMEOUT_S)
            registers = tracee.read_registers()
            if not architecture.is_native(registers):
                raise NotSupported(f"process {pid}: a 32-bit program cannot be tracked", pid=pid)
            if not _inside_rseq(tracee, architecture.program_counter(registers)):
                return tracee, registers, since
        except BaseException:
            tracee.release()
            raise
        tracee.release()
        time.sleep(0.0002)
    raise NotSupported(f"process {pid}: always inside a restartable sequence; try again", pid=pid)


def _seize_living_thread(pid: int) -> ptrace.Tracee:
    """Seize the leader, or another thread where the leader has exited."""
    options = _seccomp_options(pid)
    for tid in thread_ids(pid):
        try:
            if read_stat(pid, tid).is_dead:
                continue
            return ptrace.Tracee(pid, tid, options)
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


def _seccomp_options(pid: int) -> int:
    return 0 if read_status(pid).get("Seccomp", "0") == "0" else ptrace.SUSPEND_SECCOMP


def _inside_rseq(tracee: ptrace.Tracee, program_counter: int) -> bool:
    """Whether the thread is between the start and the commit of a restartable sequence."""
    area = tracee.rseq_pointer()
    if not area:
        return False
    try:
        memory = os.open(f"/proc/{tracee.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
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


def remote_call(pid: int, number: int, arguments: Sequence[int]) -> int:
    """One system call in `pid`. Errors as of `borrowed_thread` and `RemoteCaller.call`."""
    with borrowed_thread(pid) as caller:
        return caller.call(number, *arguments)
