"""Having this thread run before others for a moment (sched(7)).

While a target is stopped, all else that uses the machine makes the stop longer: each time the scheduler puts
another process before us, by some milliseconds, and each time another thread of ours holds the interpreter,
as the one that draws the screen does. What is measured to foretell such stops has to be done in the same way.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ORDINARY: Final = (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE)
_LEAST_OF_REAL_TIME: Final = os.sched_param(1)
_SWITCH_INTERVAL_S: Final = 0.00001
"""How long another thread may hold the interpreter while this one wants it; usually 5 ms."""


class _QuickSwitches:
    """Has the interpreter change threads sooner for as long as anybody wants that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._usual_s = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._wanted:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual_s, _SWITCH_INTERVAL_S))
            self._wanted += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                sys.setswitchinterval(self._usual_s)


_quick_switches: Final = _QuickSwitches()


@contextmanager
def urgent() -> Iterator[None]:
    """Run the block without being put off: at the lowest real-time priority, with no garbage collection.

    Other threads give the interpreter back sooner meanwhile. Where we may not have the priority (it takes
    CAP_SYS_NICE or a limit of RTPRIO), it runs at the one that we have. A thread that is of real time
    already stays as it is. For blocks that end by themselves, and soon.
    """
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    is_raised = policy in _ORDINARY and _raise()
    collects = gc.isenabled()
    gc.disable()
    try:
        with _quick_switches:
            yield
    finally:
        if collects:
            gc.enable()
        if is_raised:
            os.sched_setscheduler(0, policy, priority)


def _raise() -> bool:
    """Whether it could be done. A child of this thread would not inherit it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, _LEAST_OF_REAL_TIME)
    except PermissionError:
        return False
    return True
