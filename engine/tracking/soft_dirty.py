"""Tracking by soft-dirty bits, where the kernel has them (Documentation/admin-guide/mm/soft-dirty.rst).

Writing 4 to `clear_refs` begins an epoch for the whole process; each first write to a page then
sets its bit. There is one bit for everybody: whoever else clears takes our knowledge away, and we
take theirs. Reading and clearing are two steps, so an exact collect stops the target for both.
"""

from __future__ import annotations

from dataclasses import replace

from engine.errors import TargetGone
from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.maps import MapsReader
from engine.kernel.process import Identity
from engine.kernel.stopping import StoppedProcess, on_own_thread
from engine.pageset import PAGE_SHIFT
from engine.tracking.residency import PageReader
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.tracker import Collected

_HUGE_PAGES = (2 << 20) >> PAGE_SHIFT


class SoftDirtyTracker:
    """Watches one process by the soft-dirty bits of its pages."""

    kind = TrackerKind.SOFT_DIRTY
    modes: tuple[RateMode, ...] = (RateMode.CUMULATIVE, RateMode.REARMING)
    stopped_to_attach_us = 0

    def __init__(self, identity: Identity) -> None:
        """Open the target's pagemap; nothing is changed in it before `arm`.

        Raises:
            TargetGone, NotPermitted: it is not there, or not ours to read.
        """
        self.identity = identity
        self._reader = MapsReader(identity.pid)
        self._pages = PageReader(identity.pid)

    def arm(self) -> Collected:
        """See `Tracker.arm`. What was dirty before us is not exact: others may have cleared."""
        return self.collect(rearm=True, exact=False)

    def collect(self, *, rearm: bool, exact: bool = True, stopped: bool = False) -> Collected:
        """See `Tracker.collect`."""
        if rearm and exact and not stopped:
            return on_own_thread(self._collect_stopped)
        return self._collect(rearm)

    def _collect_stopped(self) -> Collected:
        with StoppedProcess(self.identity.pid) as process:
            collected = self._collect(True)
        return replace(collected, stopped_us=process.stopped_us)

    def _collect(self, rearm: bool) -> Collected:
        maps = self._reader.read()
        if not maps.vmas:
            raise TargetGone(f"process {self.identity.pid} has exited", pid=self.identity.pid)
        dirty, huge = self._pages.soft_dirty(maps)
        if rearm:
            clear_soft_dirty(self.identity.pid)
        return Collected(maps, dirty, huge_inflation_pages=huge - huge // _HUGE_PAGES)

    def close(self) -> None:
        """See `Tracker.close`; soft-dirty bits need no undoing."""
        self._pages.close()
