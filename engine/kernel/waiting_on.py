"""Having a thread wait on in the call that our stop has cut short.

The kernel ends some calls with EINTR whenever their thread is stopped (`engine.kernel.waits`), and shows that
result before it looks for signals. If it is made ERESTARTNOHAND then, the kernel decides by what it finds: a
handler runs, and the call returns EINTR, as it would have without us; or none does, and the call is begun
again with the same arguments. Whether the EINTR was ours or a signal's need not be known. (ERESTARTSYS would
be wrong, as a handler with SA_RESTART would then not interrupt; so would setting the program counter back.)

A call with a timeout begins to wait from the start. epoll_wait is therefore given what is left of its time,
where its caller is the C library, which has no use for the register afterwards (code that has the system call
inlined may count on finding its timeout there). All others wait their whole time again, once: a second
stop in the same wait ends it with EINTR, because a thread that is stopped again and again would never be
done.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from engine.errors import TargetGone
from engine.kernel.asleep import Asleep, ProcessorClocks, read_asleep, voluntary_switches
from engine.kernel.process import memory_file
from engine.kernel.registers import Architecture
from engine.kernel.waits import Wait, read_wait

_C_LIBRARY: Final = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) r-xp [^\n]*/(?:libc\.so|libc-2|ld-musl-|libc\.musl-)[^\n/]*$", re.MULTILINE
)
_MOST_REMEMBERED: Final = 4096

_made_to_wait_anew: Final[dict[int, int]] = {}
"""By thread id: how often it had gone to sleep by itself before it was last made to wait on."""
_SLEEPS_OF_A_STOP: Final = 8
"""So often at most does a thread go to sleep until it waits on: for the stop and for calls of ours."""


@dataclass(frozen=True, slots=True)
class BeforeStop:
    """What a thread did just before it was stopped."""

    wait: Wait | None = None
    asleep: Asleep | None = None
    """Known only of one in a call that is cut short although it has a timeout."""
    c_library: tuple[tuple[int, int], ...] = ()
    """Where the code of the C library lies in its process, likewise: byte addresses, half-open."""


UNSEEN: Final = BeforeStop()
"""Of a thread that was not looked at."""


class Lookout:
    """Sees what threads of a process do, at one moment, before they are stopped."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._clocks = ProcessorClocks()
        self._c_library: tuple[tuple[int, int], ...] | None = None

    def look(self, tid: int) -> BeforeStop:
        """What has to be known of a thread to have it wait on after a stop."""
        wait = read_wait(self._pid, tid)
        if wait is None or not wait.is_cut_short or wait.is_endless:
            return BeforeStop(wait)
        asleep = read_asleep(self._pid, tid, self._clocks)
        return BeforeStop(wait, asleep, self._find_c_library() if wait.timeout_ms is not None else ())

    def _find_c_library(self) -> tuple[tuple[int, int], ...]:
        if self._c_library is None:
            try:
                with open(memory_file(self._pid, "maps"), "rb", 0) as file:
                    found = _C_LIBRARY.findall(file.readall() or b"")
            except (OSError, TargetGone):
                found = []
            self._c_library = tuple((int(low, 16), int(high, 16)) for low, high in found)
        return self._c_library


def waits_on(
    pid: int, tid: int, architecture: Architecture, registers: bytes, before: BeforeStop
) -> bytes | None:
    """The registers with which a stopped thread waits on in its call; None if it is to go on as it is.

    Args:
        pid, tid: of the thread.
        architecture: the processor's.
        registers: as it was stopped with them.
        before: what it did just before.
    """
    wait = architecture.interrupted_wait(registers, before.wait)
    if wait is None or not wait.is_cut_short:
        return None
    # It has only just begun to wait, if it was not seen in that call a moment ago.
    if wait.is_endless or before.wait != wait:
        return architecture.waiting_on(registers, wait)
    caller = architecture.program_counter(registers)
    if any(low <= caller < high for low, high in before.c_library):
        left_ms = _left_ms(pid, tid, wait, before)
        if left_ms is not None:
            return architecture.waiting_on(registers, wait, timeout_ms=left_ms)
    return architecture.waiting_on(registers, wait) if _is_first_time(tid, before.asleep) else None


def _left_ms(pid: int, tid: int, wait: Wait, before: BeforeStop) -> int | None:
    """How long it still has to wait, rounded up; None if that is not known."""
    if wait.timeout_ms is None or before.asleep is None:
        return None
    if voluntary_switches(pid, tid) != before.asleep.switches + 1:  # it has begun to wait since
        return wait.timeout_ms
    waited_ms = int((time.monotonic() - before.asleep.since_s) * 1e3)
    return max(0, min(wait.timeout_ms, wait.timeout_ms - waited_ms))


def _is_first_time(tid: int, asleep: Asleep | None) -> bool:
    """Whether it has not been made to wait on in this wait already; from now on it has been."""
    switches = asleep.switches if asleep is not None else 0
    last = _made_to_wait_anew.pop(tid, None)
    if last is not None and last <= switches <= last + _SLEEPS_OF_A_STOP:
        return False  # and with that this wait has ended
    while len(_made_to_wait_anew) >= _MOST_REMEMBERED:
        del _made_to_wait_anew[next(iter(_made_to_wait_anew))]
    _made_to_wait_anew[tid] = switches
    return True
