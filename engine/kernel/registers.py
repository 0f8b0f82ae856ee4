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
    waits_on_from_a_call: bool
    """Whether `waiting_on` has an effect only at the end of a system call."""
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

    def sleeping_on(self, registers: bytes, before: Wait | None) -> bytes | None:
        """The registers with which an interrupted sleep lasts what is left of it, set at the end of a call.

        Args:
            registers: of the stopped thread, which is about to begin its call again.
            before: what it was seen to wait in before the stop, if it was.

        Returns:
            None where it goes on rightly by itself.
        """
        ...

    def waiting_on(self, registers: bytes, *, timeout_ms: int | None = None) -> bytes:
        """The registers with which it begins that call again, unless the handler of a signal runs.

        Args:
            registers: of the stopped thread.
            timeout_ms: for how long epoll_wait is to wait then; None leaves that as it is.
        """
        ...


_ERESTARTNOHAND: Final = 514  # include/linux/errno.h
_ERESTART_RESTARTBLOCK: Final = 516

_NANOSLEEP: Final = 101
_CLOCK_NANOSLEEP: Final = 115
_FUTEX: Final = 98
_TIMER_ABSTIME: Final = 1
_FUTEX_COMMAND: Final = 0x7F
_FUTEX_WAIT: Final = 0


def _sleeps_by_restart_block(wait: Wait) -> bool:
    """Whether the kernel keeps for itself what is left of this call's time (aarch64's numbers)."""
    if wait.number == _FUTEX:
        return wait.arguments[1] & _FUTEX_COMMAND == _FUTEX_WAIT and wait.arguments[3] != 0
    if wait.number == _CLOCK_NANOSLEEP:
        return not wait.arguments[1] & _TIMER_ABSTIME
    return wait.number == _NANOSLEEP


def _begin_again(interrupted: int) -> int:
    """In the place of EINTR: begin again, unless a handler runs."""
    assert _signed(interrupted) == -errno.EINTR
    return (1 << 64) - _ERESTARTNOHAND


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class X86_64:  # noqa: N801 - the architecture's own name
    """AMD64."""

    name = "x86_64"
    system_call_instruction = b"\x0f\x05"
    instruction_alignment = 1
    harmless_call = 110
    waits_on_from_a_call = False
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

    def sleeping_on(self, registers: bytes, before: Wait | None) -> bytes | None:
        """None: RAX still says how the call was interrupted."""
        return None

    def waiting_on(self, registers: bytes, *, timeout_ms: int | None = None) -> bytes:
        """The kernel looks at RAX only when it lets the thread go."""
        words = list(self._layout.unpack(registers))
        words[self._AX] = _begin_again(words[self._AX])
        if timeout_ms is not None:
            words[self._ARGUMENTS[EPOLL_TIMEOUT_ARGUMENT]] = timeout_ms
        return self._layout.pack(*words)


class Aarch64:
    """ARM, 64 bits.

    The kernel has already rewound an interrupted system call when ptrace shows the registers, and has
    forgotten that there was one (arch/arm64/kernel/signal.c, do_signal). To restore them begins it again,
    with its whole time; to be treated as interrupted, it has to look so at the end of another call.
    """

    name = "aarch64"
    system_call_instruction = b"\x01\x00\x00\xd4"  # svc #0
    instruction_alignment = 4
    harmless_call = 173
    waits_on_from_a_call = True
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

    def sleeping_on(self, registers: bytes, before: Wait | None) -> bytes | None:
        """X0, the first argument again by now, is made what it was: ERESTART_RESTARTBLOCK."""
        words = list(self._layout.unpack(registers))
        if before is None or words[self._NUMBER] != before.number or tuple(words[:6]) != before.arguments:
            return None
        if not _sleeps_by_restart_block(before):
            return None
        words[0] = (1 << 64) - _ERESTART_RESTARTBLOCK
        words[self._PC] += len(self.system_call_instruction)
        return self._layout.pack(*words)

    def waiting_on(self, registers: bytes, *, timeout_ms: int | None = None) -> bytes:
        """To be set at the end of a system call, whose first argument has to be that of the wait."""
        words = list(self._layout.unpack(registers))
        words[0] = _begin_again(words[0])
        if timeout_ms is not None:
            words[EPOLL_TIMEOUT_ARGUMENT] = timeout_ms
        return self._layout.pack(*words)


_KNOWN: Final[dict[str, Architecture]] = {"x86_64": X86_64(), "aarch64": Aarch64()}

NATIVE: Final = _KNOWN.get(MACHINE)
"""This machine's architecture, or None where no system call can be injected."""
