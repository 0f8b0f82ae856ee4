"""One process of a watched tree: its tracker, and what is known of its pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.kernel.huge_pages import inflation
from engine.kernel.maps import Maps, MapsReader
from engine.kernel.process import Identity, ProcessStat, innermost_pid
from engine.pageset import EMPTY, PageSet
from engine.tracking.canary import Canary
from engine.tracking.frame_marks import FrameMarks
from engine.tracking.heat import Found
from engine.tracking.residency import Residency
from engine.tracking.sample import ProcessSample, RateMode, Totals
from engine.tracking.saved_pages import SavedPages
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
    """A tracker, and what keeps account of its finds: saved pages, pages in use, and the ages of writes.

    Not locked: `Session.held` hands it out.
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
        """How often another program was seen to clear the tracker. Each time made everything pending."""
        self.stopped_us = 0
        """How long attaching, arming and planning links have stopped it since `take_stopped_us`."""
        self.found: Found | None = None
        """By the last tick."""
        self._maps_reader = MapsReader(stat.pid)
        self._maps = Maps()
        self._residency = Residency(stat.pid)
        self._tracker: Tracker | None = None
        self._saved = SavedPages()
        self._ages = WriteAges()
        self._link_canary: Canary | None = None

    # -- tracking

    @property
    def is_tracked(self) -> bool:
        """Whether a tracker is attached."""
        return self._tracker is not None

    def attach(self, tracker: Tracker) -> None:
        """Take this tracker into service; it is closed with us."""
        self._tracker = tracker
        self.stopped_us += tracker.stopped_to_attach_us
        if tracker.abilities.misses_moves:
            self._saved.watch_moves(self._residency.pagemap)

    def arm(self) -> None:
        """Begin to count: since-armed starts at zero. What is pending stays so.

        Raises:
            TargetGone: it has exited.
        """
        assert self._tracker is not None
        self.stopped_us += self._arm(self._tracker).stopped_us

    def _arm(self, tracker: Tracker) -> Collected:
        return self._begun(tracker.begin_epoch() if self.is_relied_on else tracker.arm())

    def _begun(self, collected: Collected) -> Collected:
        """An epoch has begun to count from: what was written before does not count."""
        self._note(collected)
        self._ages.begin(time.monotonic())
        return collected

    def tick(self, now_s: float, mode: RateMode) -> ProcessSample:
        """Collect and count.

        Args:
            now_s: `time.monotonic()` of this tick.
            mode: whether to re-arm.

        Raises:
            TargetGone: it has exited.
        """
        collected = self._look_for_figures(mode)
        self._note(collected)
        written, huge = self._ages.collect(collected, now_s)
        in_use = self._residency.follow(collected.maps, written, now_s)
        self.found = Found(self.identity.pid, collected.maps, in_use.present, written)
        return self._sample(collected, written, inflation(huge), now_s)

    def _look_for_figures(self, mode: RateMode) -> Collected:
        is_rearming = mode is RateMode.REARMING
        if self._tracker is None:
            return Collected(self._maps_reader.read(), begins_epoch=is_rearming)
        if not is_rearming:
            return self._tracker.glance()
        return self._tracker.tick_exactly() if self.is_relied_on else self._tracker.tick()

    def take_stopped_us(self) -> int:
        """`stopped_us`, which then begins at 0."""
        stopped_us, self.stopped_us = self.stopped_us, 0
        return stopped_us

    def close(self) -> None:
        """Take every trace of us from it; may be called twice."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
        self._residency.close()

    # -- what images hold

    @property
    def is_relied_on(self) -> bool:
        """Whether an image relies on every write to it being seen."""
        return self._saved.is_relied_on

    @property
    def pending(self) -> PageSet:
        """What the next image must hold, as far as known from the last tick or `look`."""
        return self._residency.in_use.dumpable - self._saved.clean

    def look(self) -> None:
        """Bring `pending` up to date, and begin no epoch. Raises TargetGone."""
        collected = self._tracker.look() if self._tracker else Collected(self._maps_reader.read())
        self._note(collected)
        self._saved.note_moves()
        self._residency.look(collected.maps)

    def plan_link(self) -> LinkPlan:
        """Say what the image of this moment must hold, and begin an epoch.

        Pages written from now on are noted until `finish_link` or `abandon_link`. Of a process without a
        tracker the image must hold all pages, and nothing of it is clean afterwards.

        Raises:
            TargetGone: it has exited.
        """
        if self._tracker is None:
            return self._plan_in_full()
        if self._ages.has_begun:
            collected = self._collect_for_link(self._tracker.begin_epoch())
        else:
            collected = self._arm(self._tracker)
        return self._plan(self._tracker, collected, self._saved.begin_link)

    def plan_last_link(self) -> LinkPlan:
        """The same for the last image, of a process that the caller has stopped; an epoch need not begin."""
        if self._tracker is None:
            return self._plan_in_full()
        if self._ages.has_begun or self.is_relied_on:
            collected = self._collect_for_link(self._tracker.last())
        else:
            collected = self._begun(self._tracker.arm_stopped())
        return self._plan(self._tracker, collected, self._saved.begin_last_link)

    def _plan_in_full(self) -> LinkPlan:
        maps = self._maps_reader.read()
        self._saved.begin_link_unseen()
        return LinkPlan(maps, self._residency.look(maps).dumpable, EMPTY)

    def _collect_for_link(self, collected: Collected) -> Collected:
        self._note(collected)
        self._ages.collect_for_link(collected, time.monotonic())
        return collected

    def _plan(
        self,
        tracker: Tracker,
        collected: Collected,
        begin: Callable[[PageSet], tuple[PageSet, PageSet]],
    ) -> LinkPlan:
        self._link_canary = tracker.canary
        dumpable = self._residency.look(collected.maps).dumpable
        self.stopped_us += collected.stopped_us
        return LinkPlan(collected.maps, *begin(dumpable))

    def expect_link(self) -> None:
        """CRIU is about to make an image and begin a soft-dirty epoch with it: `follow_epoch` comes next.

        Raises:
            TargetGone: it has exited.
        """
        if self._tracker is not None:
            self._saved.expect_link(self._maps_reader.read().pages)

    def finish_link(self, covered: PageSet) -> None:
        """The image is there and holds these pages as they were when it was planned."""
        self._saved.finish_link(covered)
        self._ages.catch_up()

    def abandon_link(self) -> None:
        """The image did not come to be: what it should have held is pending as before."""
        self._saved.abandon_link()
        self._ages.catch_up()

    def forget_images(self) -> None:
        """Another chain is begun: all is pending with regard to it."""
        self._saved.forget()
        self._ages.catch_up()

    # -- epochs of others

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
        if canary is None or not self._tracker.adopt_canary(canary) or marks.are_missing:
            return False
        collected = self._tracker.look()
        if collected.cleared_by_others:
            return False
        self._note(collected)
        self._ages.begin_epoch()
        self._ages.collect(collected, time.monotonic())
        self._saved.adopt((covered & collected.maps.pages) - collected.written - collected.doubtful, marks)
        return True

    def follow_epoch(self, canary: Canary | None) -> None:
        """CRIU has begun a soft-dirty epoch for a link of ours; see `Tracker.follow_epoch`."""
        if self._tracker is not None and self._tracker.abilities.shares_epochs:
            self._tracker.follow_epoch(canary)
            self._ages.begin_epoch()

    @property
    def link_marks(self) -> FrameMarks:
        """What tells which pages were moved since the last link was planned, if the tracker misses moves."""
        return self._saved.marks

    @property
    def link_canary(self) -> Canary | None:
        """What tells whether another program has cleared since the last link was planned; None if nothing.

        A tick that has re-armed since has planted another.
        """
        return self._link_canary

    # -- keeping account

    def _note(self, collected: Collected) -> None:
        """Tell what was seen to those that keep account of pages."""
        if collected.cleared_by_others:
            self.foreign_clears += 1
        self._saved.note(collected)
        if collected.maps is not self._maps:
            self._saved.keep_within(collected.maps.pages)
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
