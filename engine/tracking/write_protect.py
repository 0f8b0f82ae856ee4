"""Tracking by userfaultfd write-protection, asynchronous (Linux 6.7).

The kernel remembers each first write to a protected page; one ioctl returns the written pages and
protects them again, atomically for each page, so nothing is lost and nobody is stopped. It is
private to us: no other tool can disturb it, and nothing of it stays once our descriptor closes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from engine.errors import NotSupported, TargetGone
from engine.kernel.maps import Maps, MapsReader
from engine.kernel.pagemap import Category, Pagemap, Regions
from engine.kernel.process import Identity
from engine.kernel.userfaultfd import enable_async_write_protect
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.abilities import Abilities
from engine.tracking.canary import Canary
from engine.tracking.residency import unmodified_file_pages
from engine.tracking.sample import RateMode, Untracked
from engine.tracking.tracker import Collected
from engine.tracking.uffd_source import UffdSource
from engine.tracking.watching import BUSY, KERNEL_MADE, Watching

_LOOK_FOR_REPLACED_S = 5.0


class WriteProtectTracker:
    """Watches one process through a userfaultfd that belongs to it."""

    abilities: Abilities = Abilities(
        modes=(RateMode.REARMING,),
        shares_epochs=False,
        survives_us=False,
        tracks_before_armed=False,
        stops_to_rearm=False,
        misses_moves=False,
        counts_whole_huge_pages=False,
        keeps_mappings_apart=True,
    )

    def __init__(self, identity: Identity, source: UffdSource) -> None:
        """Attach; one thread of the target is stopped for a fraction of a millisecond.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: see `UffdSource.obtain`.
        """
        self.identity = identity
        self._reader = MapsReader(identity.pid)
        self._pagemap = Pagemap(identity.pid)
        self._descriptor = -1
        try:
            self._descriptor, self.stopped_to_attach_us = source.obtain(identity)
            enable_async_write_protect(self._descriptor)
        except BaseException:
            self.close()
            raise
        self._watching = Watching(identity.pid, self._descriptor)
        self._spans: tuple[tuple[int, int], ...] = ()
        self._always_written = EMPTY
        self._look_for_replaced_at_s = 0.0
        try:
            self._refuse_shared_tracking()
        except BaseException:
            self.close()
            raise

    # One scan reads and protects again, atomically for each page: no verb needs to stop the target.

    def arm(self) -> Collected:
        """See `Tracker.arm`: what was written is found out in the same step."""
        return self.begin_epoch()

    def arm_stopped(self) -> Collected:
        """See `Tracker.arm_stopped`."""
        return self.begin_epoch()

    def tick(self) -> Collected:
        """See `Tracker.tick`; it loses nothing."""
        return self._protect(self._follow_as_due())

    def tick_exactly(self) -> Collected:
        """See `Tracker.tick_exactly`."""
        return self.tick()

    def begin_epoch(self) -> Collected:
        """See `Tracker.begin_epoch`."""
        return self._protect(self._follow_in_full())

    def glance(self) -> Collected:
        """See `Tracker.glance`."""
        return self._read(self._follow_as_due())

    def look(self) -> Collected:
        """See `Tracker.look`."""
        return self._read(self._follow_in_full())

    def last(self) -> Collected:
        """See `Tracker.last`."""
        return self.begin_epoch()

    def _follow_as_due(self) -> Maps:
        """The mappings as they are now; what has taken the place of another is looked for now and then."""
        maps = self._read_maps()
        if self._follow(maps) or time.monotonic() >= self._look_for_replaced_at_s:
            self._find_replaced(maps)
        return maps

    def _follow_in_full(self) -> Maps:
        """The mappings as they are now; what has taken the place of another is looked for too."""
        maps = self._read_maps()
        self._follow(maps)
        self._find_replaced(maps)
        return maps

    def _find_replaced(self, maps: Maps) -> None:
        now_s = time.monotonic()
        self._always_written = self._watch_replaced(maps)
        self._look_for_replaced_at_s = now_s + _LOOK_FOR_REPLACED_S

    def _protect(self, maps: Maps) -> Collected:
        """What was written, protected again in the same step."""
        scan = partial(self._pagemap.scan, all_of=Category.WRITTEN, write_protect=True)
        return replace(self._find_written(maps, scan), begins_epoch=True)

    def _read(self, maps: Maps) -> Collected:
        """What was written, and stays so."""
        # Without re-protecting, the kernel reports what is not watched as written too.
        return self._find_written(
            maps, partial(self._pagemap.scan, all_of=Category.WRITTEN | Category.WP_ALLOWED)
        )

    def _find_written(self, maps: Maps, scan: Callable[..., Regions]) -> Collected:
        written = [self._always_written]
        huge = []
        for span in self._spans:
            regions = scan(*span, none_of=Category.ZERO, returned=Category.HUGE)
            found = regions.pages()
            # Unmodified pages of privately mapped files came in by being read.
            own = found - unmodified_file_pages(self._pagemap, maps, found)
            written.append(own)
            # A huge page that was protected is split by the write: what is whole is new, or hugetlbfs's.
            huge.append(regions.pages(with_all=Category.HUGE) & own)
        return Collected(maps, PageSet.union_all(written), self._untracked(), huge=PageSet.union_all(huge))

    canary = None
    """Nobody else can clear what belongs to us."""

    def adopt_canary(self, canary: Canary) -> bool:
        """False: the tracking of an earlier program ended with it."""
        return False

    def follow_epoch(self, canary: Canary | None) -> None:
        """Nothing to do: soft-dirty bits are not looked at."""

    def close(self) -> None:
        """See `Tracker.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._pagemap.close()

    def _read_maps(self) -> Maps:
        maps = self._reader.read()
        if not maps.vmas:  # a zombie's map is empty
            raise TargetGone(f"process {self.identity.pid} has exited", pid=self.identity.pid)
        return maps

    def _refuse_shared_tracking(self) -> None:
        """Two trackers of one process would take each other's written pages away."""
        maps = self._read_maps()
        self._follow(maps)
        refused = self._watching.refused
        if BUSY in refused.values() and len(refused) == len(maps.vmas):
            raise NotSupported(
                f"process {self.identity.pid} is already tracked through a userfaultfd",
                pid=self.identity.pid,
                hint="another dirtytop, perhaps: end it first",
            )

    def _follow(self, maps: Maps) -> bool:
        """Watch what is new, and scan all but what others watch; whether the mappings have changed.

        The kernel does not say whose userfaultfd watches a mapping, and would let us protect, and so
        forget, what another one watches (Wine uses one of its own): those are left out of our scans.
        """
        if not self._watching.follow(maps):
            return False
        self._leave_out_what_others_watch(maps)
        return True

    def _leave_out_what_others_watch(self, maps: Maps) -> None:
        first, end = maps.user_span
        spans = []
        for vma in sorted(vma for vma, reason in self._watching.refused.items() if reason == BUSY):
            spans.append((first, vma.start >> PAGE_SHIFT))
            first = vma.end >> PAGE_SHIFT
        self._spans = tuple(span for span in (*spans, (first, end)) if span[0] < span[1])

    def _watch_replaced(self, maps: Maps) -> PageSet:
        """Watch mappings that look like ones we watch but took their place since.

        Returns:
            Pages in use of private mappings that cannot be watched: to be taken as written always.
        """
        unwatched = self._pagemap.scan(*maps.user_span, none_of=Category.WP_ALLOWED | Category.ZERO).pages()
        replaced = np.flatnonzero(unwatched.count_within(maps.starts, maps.ends)).tolist()
        refused = self._watching.refused
        before = len(refused)
        self._watching.watch(replaced)
        if len(refused) > before:
            self._leave_out_what_others_watch(maps)
        private = [vma for vma in refused if vma.is_private and vma.kind not in KERNEL_MADE]
        if not private:
            return EMPTY
        always = PageSet.from_addresses([vma.start for vma in private], [vma.end for vma in private])
        if any(refused[vma] == BUSY for vma in private):
            return self._pagemap.scan(*maps.user_span, none_of=Category.ZERO).pages() & always
        return unwatched & always

    def _untracked(self) -> tuple[Untracked, ...]:
        return tuple(
            Untracked(vma.start, vma.end, vma.name, reason)
            for vma, reason in self._watching.refused.items()
            if vma.kind not in KERNEL_MADE
        )
