"""Having this thread run before others for a moment (sched(7)).

While a target is stopped, whoever else uses the machine makes the stop longer: each time the scheduler puts
another process before us, by some milliseconds. What is measured to tell such stops has to be done alike.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ORDINARY: Final = (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE)
_LEAST_OF_REAL_TIME: Final = os.sched_param(1)


@contextmanager
def urgent() -> Iterator[None]:
    """Run the block without being put off: at the lowest real-time priority, with no garbage collection.

    Where we may not (it takes CAP_SYS_NICE or a limit of RTPRIO), it runs at the priority that we have. A
    thread that is of real time already stays as it is. For blocks that end by themselves, and soon.
    """
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    is_raised = policy in _ORDINARY and _raise()
    collects = gc.isenabled()
    gc.disable()
    try:
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
