"""What a soft-dirty tracker does to its target, step by step, and what of it while the target is stopped.

The kernel is a made-up one here, which notes what it is asked for: not every kernel has soft-dirty bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from engine.kernel.maps import Maps, read_maps
from engine.kernel.process import identify
from engine.pageset import EMPTY, PageSet
from engine.tracking import soft_dirty
from engine.tracking.canary import Canary
from engine.tracking.residency import SoftDirty
from engine.tracking.soft_dirty import SoftDirtyTracker
from engine.tracking.tracker import Collected

WRITTEN = PageSet.from_pages([5])
STOPPED_US = 7


class AskedKernel:
    """Notes what is asked of it, in that order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        noting, maps = self._noting, read_maps(os.getpid())

        class StoppedProcess:
            stopped_us = STOPPED_US

            def __init__(self, pid: int) -> None: ...

            __enter__ = noting("stop", lambda self: self)
            __exit__ = noting("go", lambda self, *raised: None)

        class MapsReader:
            def __init__(self, pid: int) -> None: ...

            read = noting("maps", lambda self: maps)

        class PageReader:
            pagemap = None

            def __init__(self, pid: int) -> None: ...

            def glance_at_soft_dirty(self, maps: Maps) -> Callable[[], SoftDirty]:
                noting("bits", lambda: None)()
                return noting("understand", lambda: SoftDirty(WRITTEN))

        monkeypatch.setattr(soft_dirty, "StoppedProcess", StoppedProcess)
        monkeypatch.setattr(soft_dirty, "MapsReader", MapsReader)
        monkeypatch.setattr(soft_dirty, "PageReader", PageReader)
        monkeypatch.setattr(soft_dirty, "choose", noting("choose", lambda pagemap, maps: Canary((1,))))
        monkeypatch.setattr(soft_dirty, "plant", noting("plant", lambda pid, canary: True))
        monkeypatch.setattr(soft_dirty, "clear_soft_dirty", noting("clear", lambda pid: None))
        monkeypatch.setattr(soft_dirty, "merges_pages_of", noting("merged?", lambda pid: False))
        monkeypatch.setattr(soft_dirty, "read_smaps", lambda pid: [])
        monkeypatch.setattr(Canary, "fits", noting("fits?", lambda self, maps: True))
        monkeypatch.setattr(Canary, "is_intact", noting("intact?", lambda self, pagemap: True))

    def _noting(self, what: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*positional: object, **named: object) -> Any:
            self.asked.append(what)
            return answer(*positional, **named)

        return asked


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> AskedKernel:
    return AskedKernel(monkeypatch)


@pytest.fixture
def tracker(kernel: AskedKernel) -> SoftDirtyTracker:
    """Armed, so that there is a canary; what that has asked is forgotten."""
    made = SoftDirtyTracker(identify(os.getpid()))
    made.arm()
    kernel.asked.clear()
    return made


LOOK = "maps bits intact?"
CLEAR = "fits? clear plant"

STEPS = {
    # A first epoch needs no bits read; those of others are looked at only if there may be something to lose.
    "arm": f"maps choose stop maps {CLEAR} go",
    "arm_stopped": f"maps choose maps {CLEAR}",
    # A figure: nobody stops, and so nothing is planted.
    "tick": f"{LOOK} clear understand",
    # Whatever can be done beside a running target is done before the stop, or behind it.
    "tick_exactly": f"maps choose stop {LOOK} {CLEAR} go understand",
    "begin_epoch": f"maps choose stop {LOOK} {CLEAR} go understand merged?",
    "glance": f"{LOOK} understand",
    "look": f"{LOOK} understand merged?",
    # The caller has stopped the target, and no epoch is needed any more: nothing is cleared.
    "last": f"{LOOK} understand merged?",
}


@pytest.mark.parametrize("verb", STEPS)
def test_no_step_is_taken_in_a_stop_that_could_be_taken_beside_it(
    verb: str, tracker: SoftDirtyTracker, kernel: AskedKernel
) -> None:
    look: Callable[[], Collected] = getattr(tracker, verb)
    collected = look()
    assert kernel.asked == STEPS[verb].split()
    assert collected.begins_epoch == ("clear" in kernel.asked)
    assert collected.stopped_us == (STOPPED_US if "stop" in kernel.asked else 0)
    assert collected.written == (WRITTEN if "bits" in kernel.asked else EMPTY)
