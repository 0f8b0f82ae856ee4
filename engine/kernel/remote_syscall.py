"""Making one system call inside another process, without changing a byte of its code.

The kernel maps a `syscall` instruction into every process: the one in the vDSO. One thread is
stopped, its program counter pointed there until the call is made, and its registers put back. The other
threads never stop. The stops are of a kind that needs no signal, and signals are blocked for that
moment, so that no handler runs on borrowed registers; a thread inside a restartable sequence (rseq(2)) is let
go and tried again, because the kernel would forget to abort the sequence.

A stop is not the same to all threads (`engine.kernel.waits`): a thread is borrowed to which it does no harm,
if there is one. If there is none, and the stop has cut a call short, its thread waits on in that call
afterwards (`engine.kernel.waiting_on`).
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from engine.errors import AlreadyTraced, DirtytopError, NotPermitted, NotSupported, TargetGone, kernel_errors
from engine.kernel import ptrace
from engine.kernel.process import memory_file, read_stat, read_status, thread_ids
from engine.kernel.registers import NATIVE, Architecture
from engine.kernel.waiting_on import BeforeStop, Lookout, waits_on
from engine.kernel.waits import Harm, harm_of_stopping

_ALL_SIGNALS = (1 << 64) - 1
_EXECUTABLE: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r-x. [^ ]+ [^ ]+ [0-9]+ *([^\n]*)$", re.MULTILINE)
_NO_SYSTEM_CALL: Final = struct.pack("<i", -1)
_RSEQ_TRIES = 50

_HARMLESS: Final = (False, Harm.NONE)
_WORTH_WAITING: Final = (False, Harm.SHORT)
"""Whether it cannot be interrupted, and what a stop does to it."""
_MOST_LOOKED_AT: Final = 64
"""Threads among which the one to be borrowed is chosen."""
_LOOKS: Final = 10
_BETWEEN_LOOKS_S: Final = 0.002
"""Where every thread is in a call that would end short or late, a few moments are waited for a better one."""


class RemoteCaller:
    """A stopped thread that makes system calls for us. Obtained from `borrowed_thread`."""

    def __init__(
        self, tracee: ptrace.Tracee, architecture: Architecture, registers: bytes, address: int
    ) -> None:
        self._tracee = tracee
        self._architecture = architecture
        self._registers = registers
        self._address = address
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
        self._tracee.make_system_call(time.monotonic() + ptrace.STOP_TIMEOUT_S)
        return self._architecture.result(self._tracee.read_registers())

    @contextmanager
    def borrowing(self, before: BeforeStop) -> Iterator[None]:
        """Within it calls may be made; at its end the thread is as it was, and only has to be released.

        Args:
            before: what it did before it was stopped.

        Raises:
            OSError: it was killed meanwhile: nobody is left to put right.
        """
        tracee = self._tracee
        with self._undisturbed():
            try:
                yield
            finally:
                waiting_on = waits_on(tracee.pid, tracee.tid, self._architecture, self._registers, before)
                self._put_back(before, waiting_on)

    def have_wait_on(self, before: BeforeStop, waiting_on: bytes) -> None:
        """Have the thread begin the call again that the stop has cut short, without any call of ours.

        Args:
            before: what it did before it was stopped.
            waiting_on: the registers for that.

        Raises:
            OSError: it was killed meanwhile.
        """
        with self._undisturbed():
            self._put_back(before, waiting_on)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """No signal is delivered, and no call diverted."""
        mask = self._tracee.read_signal_mask()
        self._tracee.write_signal_mask(_ALL_SIGNALS)
        dispatch = self._tracee.suspend_dispatch()
        try:
            yield
        finally:
            if dispatch is not None:
                self._tracee.resume_dispatch(dispatch)
            self._tracee.write_signal_mask(mask)

    def _put_back(self, before: BeforeStop, waiting_on: bytes | None) -> None:
        tracee, architecture = self._tracee, self._architecture
        if waiting_on is not None:
            if architecture.waits_on_from_a_call:
                assert before.wait is not None
                self._call(architecture.harmless_call, before.wait.arguments[:1])
            tracee.write_registers(waiting_on)
            return
        sleeping_on = architecture.sleeping_on(self._registers, before.wait)
        if sleeping_on is not None and self._is_at_a_call():
            tracee.write_registers(sleeping_on)
            return
        tracee.write_registers(self._registers)
        if architecture.waits_on_from_a_call:
            # What stands in its registers now is not the result of the call that we made.
            tracee.write_registers(_NO_SYSTEM_CALL, ptrace.NT_ARM_SYSTEM_CALL)

    def _is_at_a_call(self) -> bool:
        """Whether the thread is about to make a system call."""
        instruction = self._architecture.system_call_instruction
        try:
            with open(f"/proc/{self._tracee.tid}/mem", "rb", 0) as memory:
                address = self._architecture.program_counter(self._registers)
                return os.pread(memory.fileno(), len(instruction), address) == instruction
        except OSError:
            return False


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
    tracee, before, registers, since = _stopped_outside_rseq(pid, NATIVE)
    try:
        # Another program may have been started in it meanwhile, with anything at that address.
        if read_stat(pid).program != program:
            address = find_system_call(pid, NATIVE)
        caller = RemoteCaller(tracee, NATIVE, registers, address)
    except BaseException:
        tracee.release()
        raise
    try:
        with caller.borrowing(before):
            yield caller
    except ProcessLookupError as error:
        raise TargetGone(f"process {pid} exited while a thread of it was borrowed", pid=pid) from error
    finally:
        tracee.release()
        caller.stopped_us = int((time.perf_counter() - since) * 1e6)


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


def _stopped_outside_rseq(
    pid: int, architecture: Architecture
) -> tuple[ptrace.Tracee, BeforeStop, bytes, float]:
    """A stopped thread that may be borrowed, what it did before, its registers, and when it was stopped."""
    for _ in range(_RSEQ_TRIES):
        tracee, before = _seize_living_thread(pid)
        since = time.perf_counter()
        try:
            tracee.interrupt()
            tracee.wait_stopped(time.monotonic() + ptrace.STOP_TIMEOUT_S)
            registers = tracee.read_registers()
            if not architecture.is_native(registers):
                raise NotSupported(f"process {pid}: a 32-bit program cannot be tracked", pid=pid)
            if not _inside_rseq(tracee, architecture.program_counter(registers)):
                return tracee, before, registers, since
        except BaseException:
            tracee.release()
            raise
        tracee.release()
        time.sleep(0.0002)
    raise NotSupported(f"process {pid}: always inside a restartable sequence; try again", pid=pid)


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
                state = read_stat(pid, tid).state
            except TargetGone:
                continue
            if state not in "ZXx":
                harms[tid] = state == "D", harm_of_stopping(pid, tid)
            if harms.get(tid) == _HARMLESS:
                break
        if harms and min(harms.values()) < _WORTH_WAITING:
            break
    return sorted(harms, key=harms.__getitem__)


def _seccomp_options(pid: int) -> int:
    return 0 if read_status(pid).get("Seccomp", "0") == "0" else ptrace.SUSPEND_SECCOMP


def _inside_rseq(tracee: ptrace.Tracee, program_counter: int) -> bool:
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


def remote_call(pid: int, number: int, arguments: Sequence[int]) -> int:
    """One system call in `pid`. Errors as of `borrowed_thread` and `RemoteCaller.call`."""
    with borrowed_thread(pid) as caller:
        return caller.call(number, *arguments)
