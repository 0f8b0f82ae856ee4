"""One process of a watched tree: its tracker, and what is known of its pages."""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine.kernel.huge_pages import inflation
from engine.kernel.maps import Maps, MapsReader
from engine.kernel.process import Identity, ProcessStat, innermost_pid
from engine.pageset import EMPTY, PageSet
from engine.tracking.canary import Canary
from engine.tracking.clean_pages import CleanPages
from engine.tracking.frame_marks import NO_MARKS, FrameMarks, FrameWatch, can_tell
from engine.tracking.heat import Found
from engine.tracking.residency import Residency
from engine.tracking.sample import ProcessSample, RateMode, Totals, TrackerKind
from engine.tracking.tracker import Collected, Tracker
from engine.tracking.write_ages import WriteAges


@dataclass(frozen=True, slots=True, eq=False)
class LinkPlan:
    """What the next image has to hold of one process, as of one collect."""

    maps: Maps
    needed: PageSet
    """Pages to be written: pending, and in use."""
    held: PageSet
    """Pages in use that the image before holds as they still are."""


class TrackedProcess:
    """Hands what its tracker collects to those who keep account: of clean pages, ages, pages in use.

    Not locked: `Session` is.
    """

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
        self.foreign_clears = 0
        """How often somebody else was seen to clear the tracker. Each made everything pending."""
        self.told_clears = 0
        """Of these, how many an event has told; whoever makes events sets it."""
        self._maps_reader = MapsReader(stat.pid)
        self._residency = Residency(stat.pid)
        self._tracker: Tracker | None = None
        self._clean = CleanPages()
        self._frames: FrameWatch | None = None
        self._ages = WriteAges()
        self._maps = Maps()
        self._link_canary: Canary | None = None
        self.stopped_us = 0
        """How long attaching, arming and `plan_link` have stopped it since `take_stopped_us`."""
        self._has_begun = False
        self.found: Found | None = None
        """By the last tick."""

    @property
    def is_tracked(self) -> bool:
        """Whether a tracker is attached."""
        return self._tracker is not None

    @property
    def is_relied_on(self) -> bool:
        """Whether an image relies on every write to it being seen."""
        return self._clean.is_relied_on

    def attach(self, tracker: Tracker) -> None:
        """Take this tracker into service; it is closed with us."""
        self._tracker = tracker
        self.stopped_us += tracker.stopped_to_attach_us
        if tracker.kind is TrackerKind.SOFT_DIRTY:
            self._frames = FrameWatch(self._residency.pagemap)

    def arm(self) -> None:
        """Begin anew: since-armed starts at zero. What is pending stays so.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        collected = self._begin(self._tracker)
        self.stopped_us += collected.stopped_us

    def _begin(self, tracker: Tracker, *, stopped: bool = False) -> Collected:
        """Begin the first epoch, or one to count anew from: what was written before does not count."""
        if self._clean.is_relied_on:
            collected = tracker.collect(rearm=True, stopped=stopped)
        else:
            collected = tracker.arm(stopped=stopped)
        self._note(collected)
        self._ages.begin(time.monotonic())
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
        rearm = mode is RateMode.REARMING
        if self._tracker is None:
            collected = Collected(self._maps_reader.read())
        else:
            collected = self._tracker.collect(rearm=rearm, exact=self._clean.is_relied_on, for_link=False)
        self._note(collected)
        written, huge = self._ages.collect(collected, now_s, rearmed=rearm)
        in_use = self._residency.follow(collected.maps, written, now_s)
        self.found = Found(self.identity.pid, collected.maps, in_use.present, written)
        return self._sample(collected, written, inflation(huge), now_s)

    # -- images

    def plan_link(self, *, stopped: bool) -> LinkPlan:
        """Say what the image of this moment must hold; begin an epoch, unless it is the last image.

        Pages written from now on are noted until `finish_link` or `abandon_link`. Of a process without a
        tracker it is all pages, and nothing of it is clean afterwards.

        Args:
            stopped: the caller has stopped the process, for the last image.

        Raises:
            TargetGone: it has exited.
        """
        if self._tracker is None:
            maps = self._maps_reader.read()
            self._clean.begin_link(EMPTY)
            return LinkPlan(maps, self._residency.look(maps).dumpable, EMPTY)
        if self._has_begun:
            # Bits that are left set by the last image make no difference, and no work while all waits.
            rearm = not stopped or self._tracker.kind is not TrackerKind.SOFT_DIRTY
            collected = self._tracker.collect(rearm=rearm, exact=True, stopped=stopped)
            self._note(collected)
            self._ages.collect_for_link(collected, time.monotonic(), rearmed=rearm)
        else:
            collected = self._begin(self._tracker, stopped=stopped)
        self._link_canary = self._tracker.canary
        in_use = self._residency.look(collected.maps)
        self.stopped_us += collected.stopped_us
        if self._frames is not None:
            moved = self._frames.begin_link(in_use.dumpable, self._clean.pages, is_last=stopped)
            self._clean.note_written(moved)
        return LinkPlan(collected.maps, *self._clean.begin_link(in_use.dumpable))

    def expect_link(self) -> None:
        """CRIU is about to make an image and begin a soft-dirty epoch with it: `follow_epoch` comes next.

        Raises:
            TargetGone: it has exited.
        """
        if self._tracker is not None:
            # What CRIU will hold of each of these pages nobody else knows: `finish_link` is told.
            self._clean.begin_link(self._maps_reader.read().pages)

    def finish_link(self, covered: PageSet) -> None:
        """The image is there and holds these pages as they were at `plan_link`."""
        self._clean.finish_link(covered)
        if self._frames is not None:
            self._frames.finish_link()
        self._ages.catch_up()

    def abandon_link(self) -> None:
        """The image did not come to be: what it should have held is pending as before."""
        self._clean.abandon_link()
        if self._frames is not None:
            self._frames.abandon_link()
        self._ages.catch_up()

    def forget_images(self) -> None:
        """Another chain is begun: all is pending with regard to it."""
        self._clean.forget()
        if self._frames is not None:
            self._frames.abandon_link()
        self._ages.catch_up()

    def adopt_epoch(self, canary: Canary | None, marks: FrameMarks, covered: PageSet) -> bool:
        """Go on in the epoch that an earlier dirtytop began with an image that covers these pages.

        Args:
            canary: what must still be as it was planted.
            marks: taken when that image was begun.
            covered: what that image holds as it was at the beginning of the epoch.

        Returns:
            Whether the epoch is undisturbed; if not, nothing is clean.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        if canary is None or not self._tracker.adopt_canary(canary):
            return False
        if can_tell() and not marks.are_there:
            return False
        collected = self._tracker.collect(rearm=False)
        if collected.cleared_by_others:
            return False
        self._has_begun = True
        self._note(collected)
        self._ages.collect(collected, time.monotonic(), rearmed=False)
        self._clean.adopt((covered & collected.maps.pages) - collected.written - collected.doubtful)
        if self._frames is not None:
            self._frames.adopt(marks)
            self._clean.note_written(self._frames.moved(self._clean.pages))
        return True

    def follow_epoch(self, canary: Canary | None) -> None:
        """CRIU has begun a soft-dirty epoch for a link of ours; see `Tracker.follow_epoch`."""
        if self._tracker is not None and self._tracker.kind is TrackerKind.SOFT_DIRTY:
            self._tracker.follow_epoch(canary)
            self._ages.begin_epoch()
            self._has_begun = True

    @property
    def link_marks(self) -> FrameMarks:
        """What tells which pages were moved since the last `plan_link`; nothing by write-protection."""
        return self._frames.marks if self._frames is not None else NO_MARKS

    @property
    def link_canary(self) -> Canary | None:
        """What tells whether anybody has cleared since the last `plan_link`; None if nothing tells.

        A tick that has re-armed since has planted another.
        """
        return self._link_canary

    def take_stopped_us(self) -> int:
        """`stopped_us`, which then begins at 0."""
        stopped_us, self.stopped_us = self.stopped_us, 0
        return stopped_us

    @property
    def pending(self) -> PageSet:
        """What the next image must hold, as far as known from the last tick or `look`."""
        return self._residency.in_use.dumpable - self._clean.pages

    def look(self) -> None:
        """Bring `pending` up to date, and begin no epoch. Raises TargetGone."""
        if self._tracker is not None:
            collected = self._tracker.collect(rearm=False)
        else:
            collected = Collected(self._maps_reader.read())
        self._note(collected)
        if self._frames is not None:
            self._clean.note_written(self._frames.moved(self._clean.pages))
        self._residency.look(collected.maps)

    def close(self) -> None:
        """Take every trace of us from it; may be called twice."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
        self._residency.close()

    # -- folding

    def _note(self, collected: Collected) -> None:
        """What was seen, to whoever keeps account of pages that something has happened to."""
        if collected.cleared_by_others:
            self.foreign_clears += 1
            self._clean.lose_track()
        self._clean.note_written(collected.written)
        self._clean.note_written(collected.doubtful)
        if collected.maps is not self._maps:
            self._clean.keep_within(collected.maps.pages)
            self._ages.keep_within(collected.maps.pages)
            self._maps = collected.maps

    def _sample(
        self, collected: Collected, written: PageSet, huge_inflation_pages: int, now_s: float
    ) -> ProcessSample:
        maps = collected.maps
        in_use = self._residency.in_use
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
            curve=self._ages.curve(in_use.dumpable),
            huge_inflation_pages=huge_inflation_pages,
            is_tracked=self._tracker is not None,
        )
