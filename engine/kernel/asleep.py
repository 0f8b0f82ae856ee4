"""Since when a thread sleeps: `se.exec_start` in `/proc/PID/task/TID/sched` (kernel/sched/debug.c).

The scheduler notes when a thread last ran, on a clock of the processor that it ran on. Those clocks stand
apart by up to hundreds of milliseconds, so each is compared with ours first, by running there ourselves.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from typing import Final

_EXEC_START: Final = re.compile(rb"^se\.exec_start\s*:\s*([0-9.]+)$", re.MULTILINE)
_SWITCHES: Final = re.compile(rb"^nr_voluntary_switches\s*:\s*([0-9]+)$", re.MULTILINE)
_PROCESSOR_FIELD: Final = 36  # of those after the command; field 39 of proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class Asleep:
    """A thread that was not running when it was looked at."""

    since_s: float
    """By `time.monotonic`."""
    switches: int
    """How often it had gone to sleep by itself: one more after a stop, if it was in the same sleep then."""


class ProcessorClocks:
    """How far the scheduler's clocks are from ours: good for one moment; the next needs another object."""

    def __init__(self) -> None:
        self._ahead_s: dict[int, float | None] = {}

    def ahead_s(self, processor: int) -> float | None:
        """By how much that processor's is ahead of `time.monotonic`; None if we may not run there."""
        if processor not in self._ahead_s:
            self._ahead_s[processor] = _measure_ahead_s(processor)
        return self._ahead_s[processor]


def read_asleep(pid: int, tid: int, clocks: ProcessorClocks) -> Asleep | None:
    """Since when that thread sleeps; None if that cannot be told (a kernel without CONFIG_SCHED_DEBUG)."""
    try:
        with open(f"/proc/{pid}/task/{tid}/sched", "rb", 0) as file:
            sched = file.read()
        with open(f"/proc/{pid}/task/{tid}/stat", "rb", 0) as file:
            processor = int(file.read().rpartition(b")")[2].split()[_PROCESSOR_FIELD])
    except OSError:
        return None
    started, switches = _EXEC_START.search(sched), _SWITCHES.search(sched)
    if started is None or switches is None:
        return None
    ahead_s = clocks.ahead_s(processor)
    if ahead_s is None:
        return None
    return Asleep(float(started[1]) / 1e3 - ahead_s, int(switches[1]))


def voluntary_switches(pid: int, tid: int) -> int:
    """How often a thread has gone to sleep by itself, as `Asleep.switches`; -1 if it has ended."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status", "rb", 0) as file:
            status = file.read()
    except OSError:
        return -1
    found = re.search(rb"^voluntary_ctxt_switches:\s*([0-9]+)$", status, re.MULTILINE)
    return int(found[1]) if found else -1


def _measure_ahead_s(processor: int) -> float | None:
    own = os.sched_getaffinity(0)
    tid = threading.get_native_id()
    try:
        os.sched_setaffinity(0, {processor})
    except OSError:
        return None
    try:
        # To be put on the processor is to begin to run, and that is when the scheduler looks at its clock.
        os.sched_yield()
        before_s = time.monotonic()
        time.sleep(0)
        with open(f"/proc/self/task/{tid}/sched", "rb", 0) as file:
            started = _EXEC_START.search(file.read())
    finally:
        os.sched_setaffinity(0, own)
    return float(started[1]) / 1e3 - before_s if started else None
