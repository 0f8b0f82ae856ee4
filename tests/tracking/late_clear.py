"""A clear that comes at the worst moment: after a write that the look before it has not seen."""

from __future__ import annotations

import bisect
import mmap
import os

import pytest

from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.process import read_stat
from engine.pageset import PAGE_SIZE
from engine.tracking import soft_dirty
from tests.targets.scripted import ScriptedTarget

_SWEPT = 2


def map_apart(target: ScriptedTarget, pages: int) -> int:
    """Written memory that no new neighbour can be joined to: joined, all of it would read as dirty."""
    base = target.map(pages + 2)
    target.touch(base, pages + 2)
    for fence in (base, base + (pages + 1) * PAGE_SIZE):
        target.protect(fence, 1, mmap.PROT_READ)
    return base + PAGE_SIZE


def sweep_with_late_clears(patch: pytest.MonkeyPatch, target: ScriptedTarget, base: int, pages: int) -> None:
    """Begin a sweep; from now on each clear waits for one more page of it, unless the target is stopped."""

    def late(pid: int) -> None:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)

        def is_swept(number: int) -> bool:
            return os.pread(memory, 1, base + number * PAGE_SIZE) == bytes([_SWEPT])

        try:
            # Pages are swept in order.
            awaited = bisect.bisect_left(range(pages), True, key=lambda number: not is_swept(number))
            while awaited < pages and read_stat(pid).state != "t" and not is_swept(awaited):
                pass
        finally:
            os.close(memory)
        clear_soft_dirty(pid)

    patch.setattr(soft_dirty, "clear_soft_dirty", late)
    target.sweep(base, pages, _SWEPT)
