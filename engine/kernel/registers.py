"""The registers of a stopped thread, by architecture: as ptrace gives them, and what a system call needs.

x86-64: `struct user_regs_struct`, 27 words. aarch64: `struct user_pt_regs`, 34 words: x0 to x30, sp,
pc, pstate. Both little-endian (arch/*/include/uapi/asm/ptrace.h).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, Protocol

from engine.kernel.libc import MACHINE

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


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class X86_64:  # noqa: N801 - the architecture's own name
    """AMD64."""

    name = "x86_64"
    system_call_instruction = b"\x0f\x05"
    instruction_alignment = 1

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


class Aarch64:
    """ARM, 64 bits.

    The kernel has already rewound an interrupted system call when ptrace shows the registers
    (arch/arm64/kernel/signal.c, do_signal), so restoring them restarts it; a relative sleep then
    sleeps its full length again.
    """

    name = "aarch64"
    system_call_instruction = b"\x01\x00\x00\xd4"  # svc #0
    instruction_alignment = 4

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


_KNOWN: Final[dict[str, Architecture]] = {"x86_64": X86_64(), "aarch64": Aarch64()}

NATIVE: Final = _KNOWN.get(MACHINE)
"""This machine's architecture, or None where no system call can be injected."""
