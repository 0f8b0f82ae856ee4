"""A clear that comes at the worst moment: after a write that the look before it has not seen."""

from __future__ import annotations

import os

import pytest

from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.process import read_stat
from engine.pageset import PAGE_SIZE
from engine.tracking import soft_dirty


def clear_late(patch: pytest.MonkeyPatch, base: int, pages: int, value: int = 2) -> None:
    """From now on each clear waits for one more page of the sweep at `base`, unless the target is stopped."""

    def late(pid: int) -> None:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        try:
            unswept = (number for number in range(pages) if not _is_swept(memory, base, number, value))
            awaited = None if read_stat(pid).state == "t" else next(unswept, None)
            while awaited is not None and not _is_swept(memory, base, awaited, value):
                pass
        finally:
            os.close(memory)
        clear_soft_dirty(pid)

    patch.setattr(soft_dirty, "clear_soft_dirty", late)


def _is_swept(memory: int, base: int, number: int, value: int) -> bool:
    return os.pread(memory, 1, base + number * PAGE_SIZE) == bytes([value])
