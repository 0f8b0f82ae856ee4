"""Tracking by userfaultfd write-protection, asynchronous (Linux 6.7).

The kernel remembers each first write to a protected page; one ioctl returns the written pages and
protects them again, atomically for each page, so nothing is lost and nobody is stopped. It is
private to us: no other tool can disturb it, and nothing of it stays once our descriptor closes.
"""

from __future__ import annotations

import os
import time

import numpy as np

from engine.errors import NotSupported, TargetGone
from engine.kernel.maps import Maps, MapsReader
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.process import Identity
from engine.kernel.userfaultfd import enable_async_write_protect
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.canary import Canary
from engine.tracking.residency import unmodified_file_pages
from engine.tracking.sample import RateMode, TrackerKind, Untracked
from engine.tracking.tracker import Collected
from engine.tracking.uffd_source import UffdSource
from engine.tracking.watching import BUSY, KERNEL_MADE, Watching

_LOOK_FOR_REPLACED_S = 5.0


class WriteProtectTracker:
    """Watches one process through a userfaultfd that belongs to it."""

    kind = TrackerKind.WRITE_PROTECT
    modes: tuple[RateMode, ...] = (RateMode.REARMING,)

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

    def arm(self, *, stopped: bool = False) -> Collected:
        """See `Tracker.arm`: what was written is found out in the same step."""
        return self.collect(rearm=True, stopped=stopped)

    def collect(
        self, *, rearm: bool, exact: bool = True, stopped: bool = False, for_link: bool = True
    ) -> Collected:
        """See `Tracker.collect`; always exact, never stops the target."""
        maps = self._read_maps()
        news = self._follow(maps)
        now_s = time.monotonic()
        if for_link or news or now_s >= self._look_for_replaced_at_s:
            self._always_written = self._watch_replaced(maps)
            self._look_for_replaced_at_s = now_s + _LOOK_FOR_REPLACED_S
        written = [self._always_written]
        huge = []
        for span in self._spans:
            regions = self._pagemap.scan(
                *span,
                # Without re-protecting, the kernel reports what is not watched as written too.
                all_of=Category.WRITTEN if rearm else Category.WRITTEN | Category.WP_ALLOWED,
                none_of=Category.ZERO,
                returned=Category.HUGE,
                write_protect=rearm,
            )
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
