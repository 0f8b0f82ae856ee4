"""What a fault costs more when it is a sample: measured on memory of our own, once."""

from __future__ import annotations

import mmap
import statistics
import threading
import time
from functools import lru_cache
from typing import Final

from engine.errors import DirtytopError
from engine.kernel.perf_events import FaultEvents
from engine.pageset import PAGE_SIZE

_PAGES: Final = 2048
_ROUNDS: Final = 5


@lru_cache
def measure_sample_cost_s(with_kernel: bool) -> float:
    """Seconds for each fault, beyond those of a fault that nobody counts; 0 if that cannot be measured."""
    try:
        with_events, without = [], []
        for _ in range(_ROUNDS):
            without.append(_touch_s())
            events = FaultEvents(ring_bytes=1 << 20, with_kernel=with_kernel)
            try:
                events.add(threading.get_native_id())
                with_events.append(_touch_s())
            finally:
                events.close()
    except DirtytopError:
        return 0.0
    return max(0.0, statistics.median(with_events) - statistics.median(without)) / _PAGES


def _touch_s() -> float:
    """How long it takes to write to pages that are not there yet."""
    with mmap.mmap(-1, _PAGES * PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        zeros = bytes(_PAGES)
        began_s = time.thread_time()
        memory[::PAGE_SIZE] = zeros
        return time.thread_time() - began_s
