"""Where the pages of a process really are, told by other means than the engine's."""

from __future__ import annotations

import os

import numpy as np
import pytest
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


class StayingPages:
    """Pages of some processes that nobody is to move, from now until `require_unmoved`."""

    def __init__(self, base: int, pages: int, *pids: int) -> None:
        self._where = base, pages
        self._moves = _kernels_moves()
        self._before = {pid: frames(pid, base, pages) for pid in pids}

    def require_unmoved(self) -> None:
        """Fail if one was moved; skip where the kernel itself has moved some meanwhile, as it may."""
        moved = [pid for pid, before in self._before.items() if (frames(pid, *self._where) != before).any()]
        if moved and _kernels_moves() != self._moves:
            pytest.skip("the kernel has moved pages meanwhile: it makes huge ones of small ones, or room")
        assert moved == []


def _kernels_moves() -> tuple[str, ...]:
    """How often it has done so since the machine started, and how many pages it has moved."""
    with open("/proc/vmstat") as file:
        return tuple(line for line in file if line.startswith(("thp_collapse_alloc ", "pgmigrate_success ")))


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
