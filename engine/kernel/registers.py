"""The registers of a stopped thread, by architecture: as ptrace gives them, and what a system call needs.

x86-64: `struct user_regs_struct`, 27 words. aarch64: `struct user_pt_regs`, 34 words: x0 to x30, sp,
pc, pstate. Both little-endian (arch/*/include/uapi/asm/ptrace.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from typing import Final, Protocol

from engine.kernel.libc import MACHINE
from engine.kernel.waits import EPOLL_TIMEOUT_ARGUMENT, Wait

# fmt: off
X86_64_NAMES: Final = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
    "di", "orig_ax", "ip", "cs", "flags", "sp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)
# fmt: on


class Architecture(Protocol):
    """What differs between processors when one system call is made in another process."""

    name: str
    system_call_instruction: bytes
    instruction_alignment: int
    harmless_call: int
    """The number of getppid, which takes no arguments and does nothing."""
    number_is_apart: bool
    """Whether the number of a system call that is being made is in a set of its own (NT_ARM_SYSTEM_CALL)."""
    result_offset: int | None
    """Where `struct user` has the result of a system call, for `Tracee.read_word`; None if it has not."""

    def is_native(self, registers: bytes) -> bool:
        """Whether the thread runs the processor's own 64-bit code."""
        ...

    def program_counter(self, registers: bytes) -> int:
        """Where the thread goes on."""
        ...

    def stack_pointer(self, registers: bytes) -> int:
        """Where its stack ends."""
        ...

    def calling(self, registers: bytes, address: int, number: int, arguments: Sequence[int]) -> bytes:
        """The registers with which the instruction at `address` makes this system call."""
        ...

    def substituting(self, entry: bytes, number: int, arguments: Sequence[int]) -> bytes:
        """The registers that have the kernel do this system call, and not the one it has been asked for.

        Args:
            entry: the registers of a thread stopped at the entry of a system call.
            number: which to make, where `number_is_apart` does not say that it is to be set besides.
            arguments: at most six.
        """
        ...

    def again(self, entry: bytes) -> bytes:
        """The registers with which a thread makes its own system call, set at the end of another."""
        ...

    def interrupted(self, entry: bytes, code: int) -> bytes:
        """The registers of a thread whose own system call a stop has interrupted, set at the end of another.

        Args:
            entry: its registers at the entry of its own.
            code: how it was interrupted, as of `restart_code`: by it the kernel decides how it goes on.
        """
        ...

    def result(self, registers: bytes) -> int:
        """What the system call left; negative is an error number."""
        ...

    def interrupted_wait(self, registers: bytes, before: Wait | None) -> Wait | None:
        """The system call that a thread, stopped with these registers, is about to see fail with EINTR.

        Args:
            registers: of the stopped thread.
            before: what it was seen to wait in before the stop, if it was.
        """
        ...

    def signalled(self, entry: bytes, code: int) -> bytes | None:
        """The same, set when a signal is about to be delivered; None if it is to stay as of `again`."""
        ...

    def restart_code(self, registers: bytes, before: Wait | None) -> int | None:
        """How the stop has interrupted the thread's system call, if the kernel will begin that again.

        One of ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK; None if it will not.

        Args:
            registers: of the stopped thread.
            before: what it was seen to wait in before the stop, if it was.
        """
        ...

    def failing(self, registers: bytes, before: Wait | None, error: int) -> bytes | None:
        """The registers with which the system call fails that a stop has interrupted; None if it has none.

        Args:
            registers: of the stopped thread.
            before: what it was seen to wait in before the stop, if it was.
            error: its `errno`.
        """
        ...

    def waiting_on(self, registers: bytes, wait: Wait, *, timeout_ms: int | None = None) -> bytes:
        """The registers with which it begins that call again that the stop has cut short.

        Args:
            registers: of the stopped thread.
            wait: the call, as of `interrupted_wait`.
            timeout_ms: for how long epoll_wait is to wait then; None leaves that as it is.
        """
        ...


# include/linux/errno.h
ERESTARTSYS: Final = 512
ERESTARTNOINTR: Final = 513
ERESTARTNOHAND: Final = 514
ERESTART_RESTARTBLOCK: Final = 516
_RESTARTED: Final = (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK)

_NANOSLEEP: Final = 101
_CLOCK_NANOSLEEP: Final = 115
_FUTEX: Final = 98
_NOT_AFTER_A_HANDLER: Final = frozenset((72, 73, 133, 188, 189))
"""pselect6, ppoll, rt_sigsuspend, msgrcv, msgsnd: on aarch64 these return EINTR after any handler."""
_TIMER_ABSTIME: Final = 1
_FUTEX_COMMAND: Final = 0x7F
_FUTEX_WAIT: Final = 0


def _usual_code(wait: Wait) -> int:
    """How a stop interrupts a call of aarch64, which does not show it (as its code in the kernel returns)."""
    if wait.number == _FUTEX and wait.arguments[1] & _FUTEX_COMMAND == _FUTEX_WAIT and wait.arguments[3]:
        return ERESTART_RESTARTBLOCK
    if wait.number == _CLOCK_NANOSLEEP:
        return ERESTARTNOHAND if wait.arguments[1] & _TIMER_ABSTIME else ERESTART_RESTARTBLOCK
    if wait.number == _NANOSLEEP:
        return ERESTART_RESTARTBLOCK
    return ERESTARTNOHAND if wait.number in _NOT_AFTER_A_HANDLER else ERESTARTSYS


def _negative(number: int) -> int:
    return (1 << 64) - number


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class X86_64:  # noqa: N801 - the architecture's own name
    """AMD64."""

    name = "x86_64"
    system_call_instruction = b"\x0f\x05"
    instruction_alignment = 1
    harmless_call = 110
    number_is_apart = False
    result_offset: int | None = 10 * 8

    _layout: Final = struct.Struct("<27Q")
    _ARGUMENTS: Final = tuple(X86_64_NAMES.index(name) for name in ("di", "si", "dx", "r10", "r8", "r9"))
    _AX, _ORIG_AX, _IP, _CS, _SP = (X86_64_NAMES.index(n) for n in ("ax", "orig_ax", "ip", "cs", "sp"))
    _USER_CODE_64: Final = 0x33

    def is_native(self, registers: bytes) -> bool:
        """False for 32-bit programs, whose register set is shorter or whose code segment differs."""
        return len(registers) == self._layout.size and (
            self._layout.unpack(registers)[self._CS] == self._USER_CODE_64
        )

    def program_counter(self, registers: bytes) -> int:
        """The instruction pointer."""
        return int(self._layout.unpack(registers)[self._IP])

    def stack_pointer(self, registers: bytes) -> int:
        """RSP."""
        return int(self._layout.unpack(registers)[self._SP])

    def calling(self, registers: bytes, address: int, number: int, arguments: Sequence[int]) -> bytes:
        """RAX holds the number; ORIG_RAX of -1 keeps the kernel from restarting what was interrupted."""
        words = list(self._layout.unpack(registers))
        words[self._AX] = number
        words[self._ORIG_AX] = (1 << 64) - 1
        words[self._IP] = address
        for index, value in zip(self._ARGUMENTS, arguments, strict=False):
            words[index] = value & ((1 << 64) - 1)
        return self._layout.pack(*words)

    def result(self, registers: bytes) -> int:
        """RAX."""
        return _signed(self._layout.unpack(registers)[self._AX])

    def interrupted_wait(self, registers: bytes, before: Wait | None) -> Wait | None:
        """ORIG_RAX tells: it is negative in code that is in no system call, whatever its RAX."""
        words = self._layout.unpack(registers)
        if _signed(words[self._AX]) != -errno.EINTR or _signed(words[self._ORIG_AX]) < 0:
            return None
        return Wait(words[self._ORIG_AX], tuple(words[index] for index in self._ARGUMENTS))

    def substituting(self, entry: bytes, number: int, arguments: Sequence[int]) -> bytes:
        """ORIG_RAX holds the number by then."""
        words = list(self._layout.unpack(entry))
        words[self._ORIG_AX] = number
        for index, value in zip(self._ARGUMENTS, arguments, strict=False):
            words[index] = value & ((1 << 64) - 1)
        return self._layout.pack(*words)

    def again(self, entry: bytes) -> bytes:
        """As it was on the instruction, with the number in RAX."""
        words = list(self._layout.unpack(entry))
        words[self._AX], words[self._ORIG_AX] = words[self._ORIG_AX], _negative(1)
        words[self._IP] -= len(self.system_call_instruction)
        return self._layout.pack(*words)

    def interrupted(self, entry: bytes, code: int) -> bytes:
        """RAX says how."""
        words = list(self._layout.unpack(entry))
        words[self._AX] = _negative(code)
        return self._layout.pack(*words)

    def signalled(self, entry: bytes, code: int) -> bytes | None:
        """No other: the kernel looks at RAX when it has the signal."""
        return self.interrupted(entry, code)

    def restart_code(self, registers: bytes, before: Wait | None) -> int | None:
        """RAX says it, where ORIG_RAX says that there was a call."""
        words = self._layout.unpack(registers)
        code = -_signed(words[self._AX])
        return code if code in _RESTARTED and _signed(words[self._ORIG_AX]) >= 0 else None

    def failing(self, registers: bytes, before: Wait | None, error: int) -> bytes | None:
        """ORIG_RAX of -1 keeps the kernel from beginning the call again."""
        is_cut_short = self.interrupted_wait(registers, before) is not None
        if not is_cut_short and self.restart_code(registers, before) is None:
            return None
        words = list(self._layout.unpack(registers))
        words[self._AX], words[self._ORIG_AX] = _negative(error), _negative(1)
        return self._layout.pack(*words)

    def waiting_on(self, registers: bytes, wait: Wait, *, timeout_ms: int | None = None) -> bytes:
        """The kernel looks at RAX only when it lets the thread go."""
        words = list(self._layout.unpack(registers))
        words[self._AX] = _negative(ERESTARTNOHAND)
        if timeout_ms is not None:
            words[self._ARGUMENTS[EPOLL_TIMEOUT_ARGUMENT]] = timeout_ms
        return self._layout.pack(*words)


class Aarch64:
    """ARM, 64 bits.

    The kernel has already rewound an interrupted system call when ptrace shows the registers, and has
    forgotten that there was one (arch/arm64/kernel/signal.c, do_signal).
    """

    name = "aarch64"
    system_call_instruction = b"\x01\x00\x00\xd4"  # svc #0
    instruction_alignment = 4
    harmless_call = 173
    number_is_apart = True
    result_offset: int | None = None

    _layout: Final = struct.Struct("<34Q")
    _NUMBER, _SP, _PC = 8, 31, 32

    def is_native(self, registers: bytes) -> bool:
        """False for 32-bit programs, whose register set is shorter."""
        return len(registers) == self._layout.size

    def program_counter(self, registers: bytes) -> int:
        """PC."""
        return int(self._layout.unpack(registers)[self._PC])

    def stack_pointer(self, registers: bytes) -> int:
        """SP."""
        return int(self._layout.unpack(registers)[self._SP])

    def calling(self, registers: bytes, address: int, number: int, arguments: Sequence[int]) -> bytes:
        """X8 holds the number, x0 to x5 the arguments."""
        words = list(self._layout.unpack(registers))
        words[self._NUMBER] = number
        words[self._PC] = address
        for index, value in enumerate(arguments):
            words[index] = value & ((1 << 64) - 1)
        return self._layout.pack(*words)

    def result(self, registers: bytes) -> int:
        """X0."""
        return _signed(self._layout.unpack(registers)[0])

    def interrupted_wait(self, registers: bytes, before: Wait | None) -> Wait | None:
        """The kernel has forgotten by then that it was in a system call: X8 must hold what it was seen in."""
        words = self._layout.unpack(registers)
        if before is None or words[self._NUMBER] != before.number or _signed(words[0]) != -errno.EINTR:
            return None
        return Wait(before.number, (before.arguments[0], *words[1:6]))

    def substituting(self, entry: bytes, number: int, arguments: Sequence[int]) -> bytes:
        """The arguments; the number is set besides."""
        words = list(self._layout.unpack(entry))
        for index, value in enumerate(arguments):
            words[index] = value & ((1 << 64) - 1)
        return self._layout.pack(*words)

    def again(self, entry: bytes) -> bytes:
        """As it was on the instruction."""
        words = list(self._layout.unpack(entry))
        words[self._PC] -= len(self.system_call_instruction)
        return self._layout.pack(*words)

    def interrupted(self, entry: bytes, code: int) -> bytes:
        """X0 says how; the kernel has kept the first argument since the entry."""
        words = list(self._layout.unpack(entry))
        words[0] = _negative(code)
        return self._layout.pack(*words)

    def signalled(self, entry: bytes, code: int) -> bytes | None:
        """The kernel looks no more. Where it is for the handler to say, the call is begun again."""
        if code not in (ERESTARTNOHAND, ERESTART_RESTARTBLOCK):
            return None
        words = list(self._layout.unpack(entry))
        words[0] = _negative(errno.EINTR)
        return self._layout.pack(*words)

    def restart_code(self, registers: bytes, before: Wait | None) -> int | None:
        """What is usual for the call that it was seen in, if it has its number and arguments again."""
        words = self._layout.unpack(registers)
        if before is None or words[self._NUMBER] != before.number or tuple(words[:6]) != before.arguments:
            return None
        return _usual_code(before)

    def failing(self, registers: bytes, before: Wait | None, error: int) -> bytes | None:
        """Behind the instruction, to which the kernel has gone back for a call that is begun again."""
        words = list(self._layout.unpack(registers))
        if self.restart_code(registers, before) is not None:
            words[self._PC] += len(self.system_call_instruction)
        elif self.interrupted_wait(registers, before) is None:
            return None
        words[0] = _negative(error)
        return self._layout.pack(*words)

    def waiting_on(self, registers: bytes, wait: Wait, *, timeout_ms: int | None = None) -> bytes:
        """Back on the instruction, with the first argument as the kernel told it."""
        words = list(self._layout.unpack(registers))
        words[0] = wait.arguments[0]
        words[self._PC] -= len(self.system_call_instruction)
        if timeout_ms is not None:
            words[EPOLL_TIMEOUT_ARGUMENT] = timeout_ms
        return self._layout.pack(*words)


_KNOWN: Final[dict[str, Architecture]] = {"x86_64": X86_64(), "aarch64": Aarch64()}

NATIVE: Final = _KNOWN.get(MACHINE)
"""This machine's architecture, or None where no system call can be injected."""
