"""When each page of one process was last seen written, and how its writes add up over time."""

from __future__ import annotations

from typing import final

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, PageSet
from engine.tracking.ages import NEVER, FloatArray
from engine.tracking.curve import CollectTimes, WorkingSetCurve
from engine.tracking.tracker import Collected


@final
class WriteAges:
    """Folds what a tracker collects into ages: a page counts once in each epoch, when it is first seen."""

    def __init__(self) -> None:
        self._ages = NEVER
        self._not_aged: tuple[PageSet, float] | None = None
        self._times = CollectTimes()
        self._epoch_written = EMPTY
        self._carried = self._carried_huge = EMPTY
        self.has_begun = False
        """Whether an epoch has begun from which on is counted."""

    def begin(self, now_s: float) -> None:
        """Counting begins here: nothing has been written yet."""
        self._ages, self._not_aged = NEVER, None
        self._times.arm(now_s)
        self.has_begun = True
        self._epoch_written = self._carried = self._carried_huge = EMPTY

    def begin_epoch(self) -> None:
        """An epoch of ours was begun by another program: what the tracker reports next was written since."""
        self._epoch_written = EMPTY
        self.has_begun = True

    def keep_within(self, mapped: PageSet) -> None:
        """Only these pages are mapped."""
        self.catch_up()
        self._ages = self._ages.within(mapped)

    def collect(self, collected: Collected, now_s: float) -> tuple[PageSet, PageSet]:
        """A tick has looked.

        Args:
            collected: what it found.
            now_s: when, by `time.monotonic()`.

        Returns:
            The pages not reported before in this epoch, with those that links have found since the last
            tick; and which of them lie in huge pages.
        """
        written = self._fold(collected, now_s) | self._carried
        huge = written & (collected.huge | self._carried_huge)
        self._carried = self._carried_huge = EMPTY
        self.catch_up()
        return written, huge

    def collect_for_link(self, collected: Collected, now_s: float) -> None:
        """A link has looked: the same, but told with the next tick, and aged once nothing waits for it."""
        self._carried |= self._fold(collected, now_s)
        self._carried_huge |= collected.huge

    def catch_up(self) -> None:
        """Age what a link has found."""
        if self._not_aged is not None:
            self._ages = self._ages.written(*self._not_aged)
            self._not_aged = None

    def _fold(self, collected: Collected, now_s: float) -> PageSet:
        self.catch_up()
        fresh = collected.written - self._epoch_written
        self._epoch_written = EMPTY if collected.begins_epoch else collected.written
        self._not_aged = fresh, now_s
        self._times.collect(now_s, rearmed=collected.begins_epoch)
        return fresh

    @property
    def pages(self) -> PageSet:
        """Every page seen written since counting began."""
        return self._ages.pages

    def last_write_s(self, maps: Maps) -> FloatArray:
        """See `PageAges.last_write_s`."""
        return self._ages.last_write_s(maps)

    def curve(self, dumpable: PageSet) -> WorkingSetCurve:
        """The working-set curve of these pages, as of the last collect."""
        return self._times.curve(self._ages, dumpable)
