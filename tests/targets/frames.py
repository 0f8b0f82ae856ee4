"""Where the pages of a process really are, told by other means than the engine's."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from engine.pageset import PAGE_SHIFT
from tests.targets.scripted import ScriptedTarget

_FRAME = np.uint64((1 << 55) - 1)


def frames(pid: int, base: int, pages: int) -> NDArray[np.uint64]:
    """The number of the frame that each page is in, and the flags of its pagemap entry that tell how.

    A page that is shared is in the same frame in both processes; one that was copied is in another frame
    than before. Numbers are all 0 without CAP_SYS_ADMIN.
    """
    with open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        entries = np.frombuffer(os.pread(pagemap.fileno(), 8 * pages, 8 * (base >> PAGE_SHIFT)), "<u8")
    return entries & (_FRAME | np.uint64(0b11 << 62))


def are_told() -> bool:
    """Whether we may know frame numbers."""
    own = np.ones(1)
    return bool((frames(os.getpid(), own.ctypes.data, 1) & _FRAME).any())


def pss_kib(*pids: int) -> int:
    """The memory of these processes, each page divided among all that have it."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total


def resident_kib(target: ScriptedTarget, kind: str) -> int:
    """What `status` counts as `RssAnon`, `RssShmem` or `VmPTE`."""
    with open(f"/proc/{target.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{kind}:"))
