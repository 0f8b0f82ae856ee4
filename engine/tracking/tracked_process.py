"""One process of a watched tree: its tracker, and what is known of its pages."""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine.kernel.huge_pages import inflation
from engine.kernel.maps import Maps, MapsReader
from engine.kernel.process import Identity, ProcessStat, innermost_pid, resident_pages
from engine.pageset import EMPTY, PageSet
from engine.tracking.ages import NEVER
from engine.tracking.canary import Canary
from engine.tracking.curve import CollectTimes
from engine.tracking.heat import Found
from engine.tracking.residency import NOTHING_IN_USE, InUse, PageReader
from engine.tracking.sample import ProcessSample, RateMode, Totals, TrackerKind
from engine.tracking.tracker import Collected, Tracker

_LOOK_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class LinkPlan:
    """What the next image has to hold of one process, as of one collect."""

    maps: Maps
    needed: PageSet
    """Pages to be written: pending, and in use."""
    held: PageSet
    """Pages in use that the image before holds as they still are."""


class TrackedProcess:
    """Folds what a tracker collects into counts, ages and what is pending. Not locked: `Session` is."""

    def __init__(self, stat: ProcessStat) -> None:
        """Open the target's map and pagemap; nothing in it is changed before `attach`.

        Raises:
            TargetGone, NotPermitted: it is not there, or not ours to read.
        """
        self.identity: Identity = stat.identity
        self.inner_pid = innermost_pid(stat.pid)
        """The pid as the process itself knows it; images are named by it."""
        self.parent_pid = stat.parent_pid
        self.command = stat.command
        self.program = stat.program
        self.clean = EMPTY
        """Pages that the last image holds as they are: what is not here is pending."""
        self.foreign_clears = 0
        """How often somebody else was seen to clear the tracker. Each made everything pending."""
        self._maps_reader = MapsReader(stat.pid)
        self._pages = PageReader(stat.pid)
        self._tracker: Tracker | None = None
        self._maps = Maps()
        self._ages = NEVER
        self._not_aged: tuple[PageSet, float] | None = None
        self._collect_times = CollectTimes()
        self._epoch_written = EMPTY
        self._carried = EMPTY
        self._carried_huge = EMPTY
        self._written_since_link: PageSet | None = None
        self._in_use: InUse = NOTHING_IN_USE
        self._in_use_as_of: tuple[Maps, int] | None = None
        self._look_again_at_s = 0.0
        self._stopped_us = 0
        self._has_begun = False
        self.found: Found | None = None
        """By the last tick."""

    @property
    def is_tracked(self) -> bool:
        """Whether a tracker is attached."""
        return self._tracker is not None

    def attach(self, tracker: Tracker) -> None:
        """Take this tracker into service; it is closed with us."""
        self._tracker = tracker
        self._stopped_us += tracker.stopped_to_attach_us

    def arm(self) -> None:
        """Begin anew: since-armed starts at zero. What is pending stays so.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        collected = self._begin(self._tracker)
        self._stopped_us += collected.stopped_us

    def _begin(self, tracker: Tracker, *, stopped: bool = False) -> Collected:
        """Begin the first epoch, or one to count anew from: what was written before does not count."""
        if self.clean or self._written_since_link is not None:
            collected = tracker.collect(rearm=True, stopped=stopped)
        else:
            collected = tracker.arm(stopped=stopped)
        self._note_written(collected)
        self._ages, self._not_aged = NEVER, None
        self._collect_times.arm(time.monotonic())
        self._epoch_written = self._carried = self._carried_huge = EMPTY
        self._has_begun = True
        return collected

    def tick(self, now_s: float, mode: RateMode) -> ProcessSample:
        """Collect and count.

        Args:
            now_s: `time.monotonic()` of this tick.
            mode: whether to re-arm.

        Raises:
            TargetGone: it has exited.
        """
        if self._tracker is None:
            collected = Collected(self._maps_reader.read())
        else:
            exact = bool(self.clean) or self._written_since_link is not None
            collected = self._tracker.collect(rearm=mode is RateMode.REARMING, exact=exact, for_link=False)
        written = self._fold(collected, now_s, rearmed=mode is RateMode.REARMING) | self._carried
        inflated = inflation(written & (collected.huge | self._carried_huge))
        self._carried = self._carried_huge = EMPTY
        self._refresh_in_use(collected.maps, written, now_s)
        self.found = Found(self.identity.pid, collected.maps, self._in_use.present, written)
        return self._sample(collected, written, inflated, now_s)

    # -- images

    def plan_link(self, *, stopped: bool) -> LinkPlan:
        """Say what the image of this moment must hold; begin an epoch, unless it is the last image.

        Pages written from now on are noted until `finish_link` or `abandon_link`.

        Args:
            stopped: the caller has stopped the process, for the last image.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        if self._has_begun:
            # Bits that are left set by the last image make no difference, and no work while all waits.
            rearm = not stopped or self._tracker.kind is not TrackerKind.SOFT_DIRTY
            collected = self._tracker.collect(rearm=rearm, exact=True, stopped=stopped)
            self._carried |= self._fold(collected, time.monotonic(), rearmed=rearm, age=False)
            self._carried_huge |= collected.huge
        else:
            collected = self._begin(self._tracker, stopped=stopped)
        now_s = time.monotonic()
        self._refresh_in_use(collected.maps, EMPTY, now_s, anyway=True)
        self._stopped_us += collected.stopped_us
        self._written_since_link = EMPTY
        dumpable = self._in_use.dumpable
        return LinkPlan(collected.maps, dumpable - self.clean, dumpable & self.clean)

    def finish_link(self, covered: PageSet) -> None:
        """The image is there and holds these pages as they were at `plan_link`."""
        self.clean = covered - (self._written_since_link or EMPTY)
        self._written_since_link = None
        self._catch_up()

    def abandon_link(self) -> None:
        """The image did not come to be: what it should have held is pending as before."""
        self._written_since_link = None
        self._catch_up()

    def adopt_epoch(self, canary: Canary | None, covered: PageSet) -> bool:
        """Go on in the epoch that an earlier dirtytop began with an image that covers these pages.

        Args:
            canary: what must still be as it was planted.
            covered: what that image holds as it was at the beginning of the epoch.

        Returns:
            Whether the epoch is undisturbed; if not, nothing is clean.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        if canary is None or not self._tracker.adopt_canary(canary):
            return False
        collected = self._tracker.collect(rearm=False)
        if collected.cleared_by_others:
            return False
        self._has_begun = True
        self._fold(collected, time.monotonic(), rearmed=False)
        self.clean = (covered & collected.maps.pages) - collected.written
        return True

    def follow_epoch(self, canary: Canary | None) -> None:
        """CRIU has begun a soft-dirty epoch for a link of ours; see `Tracker.follow_epoch`."""
        if self._tracker is not None and self._tracker.kind is TrackerKind.SOFT_DIRTY:
            self._tracker.follow_epoch(canary)
            self._epoch_written = EMPTY
            self._has_begun = True

    @property
    def canary(self) -> Canary | None:
        """See `Tracker.canary`."""
        return self._tracker.canary if self._tracker is not None else None

    def take_stopped_us(self) -> int:
        """How long attaching and `plan_link` stopped the process since the last tick; then begins at 0."""
        stopped_us, self._stopped_us = self._stopped_us, 0
        return stopped_us

    @property
    def pending(self) -> PageSet:
        """What the next image must hold, as far as known from the last tick or `look`."""
        return self._in_use.dumpable - self.clean

    def look(self) -> None:
        """Bring `pending` up to date, and begin no epoch. Raises TargetGone."""
        assert self._tracker is not None
        collected = self._tracker.collect(rearm=False)
        self._note_written(collected)
        self._refresh_in_use(collected.maps, EMPTY, time.monotonic(), anyway=True)

    def close(self) -> None:
        """Take every trace of us from it; may be called twice."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
        self._pages.close()

    # -- folding

    def _note_written(self, collected: Collected) -> None:
        if collected.cleared_by_others:
            self.foreign_clears += 1
            self.clean = EMPTY
            if self._written_since_link is not None:
                self._written_since_link |= collected.maps.pages
        self.clean -= collected.written
        if self._written_since_link is not None:
            self._written_since_link |= collected.written

    def _fold(self, collected: Collected, now_s: float, *, rearmed: bool, age: bool = True) -> PageSet:
        """Take in what was collected; returns the pages not reported before in this epoch.

        Without `age`, that they were written now is noted later: a link is not made to wait for it.
        """
        self._catch_up()
        self._note_written(collected)
        fresh = collected.written - self._epoch_written
        self._epoch_written = EMPTY if rearmed else collected.written
        if collected.maps is not self._maps:
            self._ages = self._ages.within(collected.maps.pages)
            self.clean &= collected.maps.pages
            self._maps = collected.maps
        self._not_aged = fresh, now_s
        if age:
            self._catch_up()
        self._collect_times.collect(now_s, rearmed=rearmed)
        return fresh

    def _catch_up(self) -> None:
        if self._not_aged is not None:
            self._ages = self._ages.written(*self._not_aged)
            self._not_aged = None

    def _refresh_in_use(self, maps: Maps, written: PageSet, now_s: float, *, anyway: bool = False) -> None:
        """Know which pages are in use, looking only when something tells that they changed.

        A walk over all of memory each tick would double its cost. Pages that come by being written
        are reported; those that go, or come by being read, change the resident size; what cancels
        out is seen a few seconds later.
        """
        as_of = (maps, resident_pages(self.identity.pid))
        if anyway or as_of != self._in_use_as_of or now_s >= self._look_again_at_s:
            self._in_use = self._pages.in_use(maps)
            self._in_use_as_of = as_of
            self._look_again_at_s = now_s + _LOOK_AGAIN_S
        elif not written <= self._in_use.present:
            self._in_use = InUse(
                self._in_use.present | written, self._in_use.dumpable | (written & maps.dumpable)
            )

    def _sample(
        self, collected: Collected, written: PageSet, huge_inflation_pages: int, now_s: float
    ) -> ProcessSample:
        maps = collected.maps
        in_use = self._in_use
        present_pages = maps.count(in_use.present)
        written_pages = maps.count(written)
        since_armed_pages = maps.count(self._ages.pages)
        pending_pages = maps.count(self.pending)
        stopped_us = collected.stopped_us + self.take_stopped_us()
        return ProcessSample(
            pid=self.identity.pid,
            parent_pid=self.parent_pid,
            command=self.command,
            maps=maps,
            present_pages=present_pages,
            written_pages=written_pages,
            since_armed_pages=since_armed_pages,
            pending_pages=pending_pages,
            last_write_s=now_s - self._ages.last_write_s(maps),
            totals=Totals(
                present_pages=int(present_pages.sum()),
                written_pages=int(written_pages.sum()),
                since_armed_pages=int(since_armed_pages.sum()),
                pending_pages=int(pending_pages.sum()),
                dumpable_pages=in_use.dumpable.count,
            ),
            untracked=collected.untracked,
            stopped_us=stopped_us,
            curve=self._collect_times.curve(self._ages, in_use.dumpable),
            huge_inflation_pages=huge_inflation_pages,
        )
