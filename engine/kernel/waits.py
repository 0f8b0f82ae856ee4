"""What a thread is waiting for in the kernel, and what a stop does to that: `/proc/PID/task/TID/syscall`.

A stop wakes a thread that waits in a system call. Most calls are begun again by the kernel, and their program
notices nothing. Some return EINTR instead, although no handler of a signal has run (signal(7), "Interruption
of system calls and library functions by stop signals"); some return what they have moved so far. It was tried
on Linux 6.18 which calls do: each of those here was interrupted 500 times.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from engine.kernel.libc import MACHINE


class Timeout(IntEnum):
    """How a call that returns EINTR is told how long to wait."""

    NONE = 0
    """It waits without end."""
    MILLISECONDS = 1
    """By a number; one below zero is without end."""
    TIMESPEC = 2
    """By the address of a `struct timespec`; without one it waits without end."""
    SOCKET = 3
    """By SO_RCVTIMEO or SO_SNDTIMEO; without one the call is begun again by the kernel."""
    RING = 4
    """In an extended argument of io_uring_enter, if its flag says that there is one."""


@dataclass(frozen=True, slots=True)
class _CutShort:
    """A call that returns EINTR when its thread is stopped."""

    timeout: Timeout
    argument: int = 0
    """Which of its arguments tells, from 0 on."""


EPOLL_TIMEOUT_ARGUMENT: Final = 3
"""Of epoll_wait and epoll_pwait, from 0 on: milliseconds, without end if below zero."""

_RING_EXTENDED_ARGUMENT: Final = 1 << 3

_X86_64: Final[dict[int, _CutShort]] = {
    65: _CutShort(Timeout.NONE),  # semop
    220: _CutShort(Timeout.TIMESPEC, 3),  # semtimedop
    128: _CutShort(Timeout.TIMESPEC, 2),  # rt_sigtimedwait
    208: _CutShort(Timeout.TIMESPEC, 4),  # io_getevents
    333: _CutShort(Timeout.TIMESPEC, 4),  # io_pgetevents
    232: _CutShort(Timeout.MILLISECONDS, EPOLL_TIMEOUT_ARGUMENT),  # epoll_wait
    281: _CutShort(Timeout.MILLISECONDS, EPOLL_TIMEOUT_ARGUMENT),  # epoll_pwait
    441: _CutShort(Timeout.TIMESPEC, 3),  # epoll_pwait2
    426: _CutShort(Timeout.RING, 3),  # io_uring_enter
    45: _CutShort(Timeout.SOCKET),  # recvfrom
    47: _CutShort(Timeout.SOCKET),  # recvmsg
    299: _CutShort(Timeout.SOCKET),  # recvmmsg
    44: _CutShort(Timeout.SOCKET),  # sendto
    46: _CutShort(Timeout.SOCKET),  # sendmsg
    42: _CutShort(Timeout.SOCKET),  # connect; TCP's then times out with EALREADY, not EINPROGRESS
    43: _CutShort(Timeout.SOCKET),  # accept
    288: _CutShort(Timeout.SOCKET),  # accept4
}
_AARCH64: Final[dict[int, _CutShort]] = {
    193: _CutShort(Timeout.NONE),  # semop
    192: _CutShort(Timeout.TIMESPEC, 3),  # semtimedop
    137: _CutShort(Timeout.TIMESPEC, 2),  # rt_sigtimedwait
    4: _CutShort(Timeout.TIMESPEC, 4),  # io_getevents
    292: _CutShort(Timeout.TIMESPEC, 4),  # io_pgetevents
    22: _CutShort(Timeout.MILLISECONDS, EPOLL_TIMEOUT_ARGUMENT),  # epoll_pwait
    441: _CutShort(Timeout.TIMESPEC, 3),  # epoll_pwait2
    426: _CutShort(Timeout.RING, 3),  # io_uring_enter
    207: _CutShort(Timeout.SOCKET),  # recvfrom
    212: _CutShort(Timeout.SOCKET),  # recvmsg
    243: _CutShort(Timeout.SOCKET),  # recvmmsg
    206: _CutShort(Timeout.SOCKET),  # sendto
    211: _CutShort(Timeout.SOCKET),  # sendmsg
    203: _CutShort(Timeout.SOCKET),  # connect
    202: _CutShort(Timeout.SOCKET),  # accept
    242: _CutShort(Timeout.SOCKET),  # accept4
}
_CUT_SHORT: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(MACHINE, {})

# Begun again by the kernel whatever their arguments: poll, select, sleeps, wait, msgrcv, pause.
_BEGUN_AGAIN: Final = {
    "x86_64": frozenset((7, 271, 23, 270, 35, 230, 34, 130, 61, 247, 70)),
    "aarch64": frozenset((73, 72, 101, 115, 133, 260, 95, 188)),
}.get(MACHINE, frozenset[int]())
_FUTEX: Final = {"x86_64": 202, "aarch64": 98}.get(MACHINE)

# What they have moved so far is what they return: write, writev, sendfile, splice, send, recv, getrandom.
_PARTIAL: Final = {
    "x86_64": frozenset((1, 20, 18, 40, 275, 276, 278, 44, 46, 307, 45, 47, 299, 318)),
    "aarch64": frozenset((64, 66, 68, 71, 75, 76, 77, 206, 211, 269, 207, 212, 243, 278)),
}.get(MACHINE, frozenset[int]())


class Harm(IntEnum):
    """What a stop may do to a thread, the least first."""

    NONE = 0
    """The kernel begins its call again."""
    FUTEX = 1
    """The same; but if we are killed while it is borrowed, its C library may not expect the result."""
    UNDONE = 2
    """Its call would return EINTR; as it waits without end, it can be made to wait on."""
    UNKNOWN = 3
    """It runs, or is in a call that is not listed here."""
    SHORT = 4
    """Its call may return less than it was asked for."""
    LATE = 5
    """Its call returns EINTR; made to wait on, it may wait too long."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A system call that a thread is in."""

    number: int
    arguments: tuple[int, ...]
    """Six words."""

    @property
    def is_cut_short(self) -> bool:
        """Whether a stop makes it return EINTR."""
        return self.number in _CUT_SHORT

    @property
    def is_endless(self) -> bool:
        """Of one that is cut short: whether it has no timeout."""
        call = _CUT_SHORT[self.number]
        match call.timeout:
            case Timeout.NONE:
                return True
            case Timeout.MILLISECONDS:
                return self.timeout_ms is None
            case Timeout.TIMESPEC:
                return self.arguments[call.argument] == 0
            case Timeout.RING:
                return not self.arguments[call.argument] & _RING_EXTENDED_ARGUMENT
            case Timeout.SOCKET:
                return False

    @property
    def timeout_ms(self) -> int | None:
        """The timeout of a call that is told it as a number; None of any other call, and without end."""
        call = _CUT_SHORT.get(self.number)
        if call is None or call.timeout is not Timeout.MILLISECONDS:
            return None
        number = self.arguments[call.argument] & 0xFFFF_FFFF
        return None if number >> 31 else number

    @property
    def harm(self) -> Harm:
        """What a stop may do to it."""
        if self.number in _BEGUN_AGAIN:
            return Harm.NONE
        if self.number == _FUTEX:
            return Harm.FUTEX
        if self.number in _CUT_SHORT and self.is_endless:
            return Harm.UNDONE
        if self.number in _PARTIAL:
            return Harm.SHORT
        return Harm.LATE if self.number in _CUT_SHORT else Harm.UNKNOWN


def read_wait(pid: int, tid: int) -> Wait | None:
    """The system call that a thread sleeps in; None if it is in none, runs, or that is not told.

    Takes some 15 µs: the kernel makes sure that the thread does not run.
    """
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", "rb", 0) as file:
            words = file.read().split()
    except OSError:  # it has ended, or is not ours to look into; a kernel may lack the file
        return None
    # "running", or -1 where it sleeps in no call, or number, six arguments, stack pointer, program counter.
    if len(words) != 9:
        return None
    return Wait(int(words[0]), tuple(int(word, 16) for word in words[1:7]))


def harm_of_stopping(pid: int, tid: int) -> Harm:
    """What a stop may do to that thread, as far as can be told beforehand."""
    wait = read_wait(pid, tid)
    return Harm.UNKNOWN if wait is None else wait.harm
