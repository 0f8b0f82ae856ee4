"""Timers that live in the kernel and send this program a signal, whatever has become of it: timer_create(2).

A thread that watches the time is of no use where no thread of ours runs: while we are stopped by SIGSTOP, or
by a debugger. The kernel's timers go off all the same, and SIGCONT and SIGKILL work on a program that is
stopped.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from typing import Final

from engine.kernel.libc import MACHINE, system_call

_TIMER_CREATE: Final = {"x86_64": 222, "aarch64": 107}
_TIMER_SETTIME: Final = {"x86_64": 223, "aarch64": 110}
_CLOCK_MONOTONIC: Final = 1
_SIGEV_SIGNAL: Final = 0
_NANOSECONDS: Final = 1_000_000_000


class _SignalEvent(ctypes.Structure):
    """`struct sigevent`."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("padding", ctypes.c_uint8 * 48),
    )


class _Setting(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (
        ("interval_s", ctypes.c_int64),
        ("interval_ns", ctypes.c_int64),
        ("value_s", ctypes.c_int64),
        ("value_ns", ctypes.c_int64),
    )


class AlarmClock:
    """Sends this process one signal when its time is over, unless it is set again or stopped before."""

    def __init__(self, number: signal.Signals) -> None:
        """Nothing is set. Where no such timer is to be had (a limit, a sandbox), nothing ever is."""
        self._number = number
        self._timer = -1
        self._owner = 0
        """Whose timer that is: a child that was forked has none."""

    def set(self, seconds: float) -> None:
        """Go off this long from now; what was set before no longer counts."""
        self._settle(max(1, int(seconds * _NANOSECONDS)))

    def stop(self) -> None:
        """Do not go off."""
        if self._owner == os.getpid():
            self._settle(0)

    def _settle(self, nanoseconds: int) -> None:
        if self._owner != os.getpid():
            self._create()
        if self._timer < 0:
            return
        seconds, rest = divmod(nanoseconds, _NANOSECONDS)
        setting = _Setting(value_s=seconds, value_ns=rest)
        system_call(_TIMER_SETTIME[MACHINE], self._timer, 0, _address_of(setting), None)

    def _create(self) -> None:
        event = _SignalEvent(number=self._number, kind=_SIGEV_SIGNAL)
        timer = ctypes.c_int32(-1)
        if MACHINE in _TIMER_CREATE:
            with suppress(OSError):
                system_call(_TIMER_CREATE[MACHINE], _CLOCK_MONOTONIC, _address_of(event), _address_of(timer))
        self._timer, self._owner = timer.value, os.getpid()


def _address_of(structure: ctypes.Structure | ctypes.c_int32) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(structure))
