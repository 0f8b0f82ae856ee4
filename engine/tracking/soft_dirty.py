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
from engine.tracking.canary import Canary, choose, plant
from engine.tracking.residency import PageReader
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.tracker import Collected


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
        self._canary: Canary | None = None

    def arm(self) -> Collected:
        """See `Tracker.arm`."""
        return self.collect(rearm=True)

    def collect(
        self, *, rearm: bool, exact: bool = True, stopped: bool = False, for_link: bool = True
    ) -> Collected:
        """See `Tracker.collect`."""
        if rearm and exact and not stopped:
            return on_own_thread(self._collect_stopped)
        return self._collect(rearm, stopped)

    def _collect_stopped(self) -> Collected:
        with StoppedProcess(self.identity.pid) as process:
            collected = self._collect(True, True)
        return replace(collected, stopped_us=process.stopped_us)

    def _collect(self, rearm: bool, stopped: bool) -> Collected:
        maps = self._reader.read()
        if not maps.vmas:
            raise TargetGone(f"process {self.identity.pid} has exited", pid=self.identity.pid)
        dirty, huge = self._pages.soft_dirty(maps)
        # Looked at after the bits: a clear by somebody else before this moment is noticed, and one
        # between this moment and ours takes nothing away that was not read.
        cleared_by_others = self._canary is not None and not self._canary.is_intact(self._pages.pagemap, maps)
        if cleared_by_others:
            self._canary = None
        if rearm:
            canary = choose(self._pages.pagemap, maps) if stopped else None
            clear_soft_dirty(self.identity.pid)
            self._canary = canary if canary is not None and plant(self.identity.pid, canary) else None
        return Collected(
            maps,
            dirty,
            huge=huge,
            cleared_by_others=cleared_by_others,
        )

    def adopt_canary(self, canary: Canary) -> bool:
        """See `Tracker.adopt_canary`."""
        if not canary.is_telling or not canary.is_intact(self._pages.pagemap, self._reader.read()):
            return False
        self._canary = canary
        return True

    @property
    def canary(self) -> Canary | None:
        """See `Tracker.canary`."""
        return self._canary

    def close(self) -> None:
        """See `Tracker.close`; soft-dirty bits need no undoing."""
        self._pages.close()
