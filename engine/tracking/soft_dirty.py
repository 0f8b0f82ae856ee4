"""Tracking by soft-dirty bits, where the kernel has them (Documentation/admin-guide/mm/soft-dirty.rst).

Writing 4 to `clear_refs` begins an epoch for the whole process; each first write to a page then
sets its bit. There is one bit for all programs: another one that clears takes our knowledge away, and we
take its. Reading and clearing are two steps: a look that must lose no write stops the target for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.errors import TargetGone
from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.ksm import merges_pages_of
from engine.kernel.maps import Maps, MapsReader, Vma, VmaKind
from engine.kernel.pagemap import Category
from engine.kernel.process import Identity
from engine.kernel.smaps import read_smaps
from engine.kernel.stopping import StoppedProcess, on_own_thread
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.tracking.abilities import Abilities
from engine.tracking.canary import Canary, choose, plant
from engine.tracking.residency import PageReader, SoftDirty
from engine.tracking.sample import RateMode, Untracked
from engine.tracking.tracker import Collected

_HUGETLB_UNSEEN = "soft-dirty bits do not cover hugetlbfs"
_MERGED_UNSEEN = "soft-dirty bits are lost where equal pages are merged (KSM)"
_UNALIGNED = pages_per_huge_page() * PAGE_SIZE - 1


@dataclass(frozen=True, slots=True)
class _Look:
    """What the kernel tells at one moment; what it means is worked out once the target runs again."""

    maps: Maps
    bits: Callable[[], SoftDirty]
    is_disturbed: bool
    """Whether another program has begun an epoch since ours."""
    begins_epoch: bool = False
    """Whether bits were cleared right after it."""


class SoftDirtyTracker:
    """Watches one process by the soft-dirty bits of its pages."""

    abilities: Abilities = Abilities(
        modes=(RateMode.CUMULATIVE, RateMode.REARMING),
        shares_epochs=True,
        survives_us=True,
        tracks_before_armed=True,
        stops_to_rearm=True,
        misses_moves=True,
        counts_whole_huge_pages=True,
        keeps_mappings_apart=False,
    )
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
        self._is_look_pending = False
        self._hugetlb: tuple[Vma, ...] = ()
        self._hugetlb_as_of: Maps | None = None
        self._zeros = EMPTY

    def arm(self) -> Collected:
        """See `Tracker.arm`."""
        looked, stopped_us = self._stop_and_clear(self._look_only_at_maps)
        return replace(self._understand(looked, _find_none), stopped_us=stopped_us)

    def arm_stopped(self) -> Collected:
        """See `Tracker.arm_stopped`."""
        looked = self._look_and_clear(self._look_only_at_maps, self._choose_canary())
        return self._understand(looked, _find_none)

    def tick(self) -> Collected:
        """See `Tracker.tick`; nothing tells then whether another program clears."""
        return self._understand(self._look_and_clear(self._look, None), _find_none)

    def tick_exactly(self) -> Collected:
        """See `Tracker.tick_exactly`."""
        looked, stopped_us = self._stop_and_clear(self._look)
        return replace(self._understand(looked, _find_none), stopped_us=stopped_us)

    def begin_epoch(self) -> Collected:
        """See `Tracker.begin_epoch`."""
        looked, stopped_us = self._stop_and_clear(self._look)
        return replace(self._understand(looked, self._find_merged), stopped_us=stopped_us)

    def glance(self) -> Collected:
        """See `Tracker.glance`."""
        return self._understand(self._look(), _find_none)

    def look(self) -> Collected:
        """See `Tracker.look`."""
        return self._understand(self._look(), self._find_merged)

    def last(self) -> Collected:
        """See `Tracker.last`; bits stay set, for to clear them is work."""
        return self.look()

    def _stop_and_clear(self, look: Callable[[], _Look]) -> tuple[_Look, int]:
        """Stop the target to look and to clear; what was seen, and for how many microseconds it stopped."""
        # What can be done beside a running target is: it is stopped for the bits alone.
        canary = self._choose_canary()

        def look_and_clear_stopped() -> tuple[_Look, int]:
            with StoppedProcess(self.identity.pid) as process:
                looked = self._look_and_clear(look, canary)
            return looked, process.stopped_us

        return on_own_thread(look_and_clear_stopped)

    def _choose_canary(self) -> Canary | None:
        return choose(self._pages.pagemap, self._read_maps())

    def _look_and_clear(self, look: Callable[[], _Look], canary: Canary | None) -> _Look:
        """Begin an epoch; with a canary, if the target is stopped."""
        looked = replace(look(), begins_epoch=True)
        if canary is not None and not canary.fits(looked.maps):
            canary = choose(self._pages.pagemap, looked.maps)  # now nothing can change in between
        clear_soft_dirty(self.identity.pid)
        self._is_look_pending = True
        self._canary = canary if canary is not None and plant(self.identity.pid, canary) else None
        return looked

    def _look_only_at_maps(self) -> _Look:
        return _Look(self._read_maps(), SoftDirty, is_disturbed=False)

    def _look(self) -> _Look:
        maps = self._read_maps()
        bits = self._pages.glance_at_soft_dirty(maps)
        # Looked at after the bits: another program's clear before this moment is noticed, and one
        # between this moment and ours takes nothing away that was not read.
        is_disturbed = self._canary is not None and not self._canary.is_intact(self._pages.pagemap)
        if is_disturbed:
            self._canary = None
        # What we read and cleared, but then failed to understand, is lost as what others clear.
        return _Look(maps, bits, is_disturbed or self._is_look_pending)

    def _understand(self, look: _Look, find_merged: Callable[[Maps], tuple[Vma, ...]]) -> Collected:
        bits = look.bits()
        hugetlb = self._find_hugetlb(look.maps)
        always_written = self._in_use_privately(hugetlb)
        # Asked after the bits: what was merged before is not there yet.
        merged = find_merged(look.maps)
        untracked = [(vma, _HUGETLB_UNSEEN) for vma in hugetlb] + [(vma, _MERGED_UNSEEN) for vma in merged]
        of_merged = PageSet.from_addresses([vma.start for vma in merged], [vma.end for vma in merged])
        # What showed zeros at the look before is still what it was then.
        doubtful = bits.perhaps_zeros | (bits.zeros - self._zeros) | of_merged
        self._zeros = bits.zeros
        self._is_look_pending = False
        return Collected(
            look.maps,
            bits.dirty | always_written,
            tuple(Untracked(vma.start, vma.end, vma.name, why) for vma, why in untracked),
            doubtful,
            huge=bits.huge | always_written,
            cleared_by_others=look.is_disturbed,
            begins_epoch=look.begins_epoch,
        )

    def _read_maps(self) -> Maps:
        maps = self._reader.read()
        if not maps.vmas:
            raise TargetGone(f"process {self.identity.pid} has exited", pid=self.identity.pid)
        return maps

    def _find_hugetlb(self, maps: Maps) -> tuple[Vma, ...]:
        """The mappings of hugetlbfs; a memfd or a mount elsewhere does not show it in its name, smaps does.

        smaps is read only when the mappings have changed, and one of them begins and ends where a
        huge page can.
        """
        if maps is not self._hugetlb_as_of:
            candidates = {vma.start: vma for vma in maps.vmas if _may_be_hugetlb(vma)}
            entries = read_smaps(self.identity.pid) if candidates else []
            self._hugetlb = tuple(
                candidates[entry.start] for entry in entries if entry.is_hugetlb and entry.start in candidates
            )
            self._hugetlb_as_of = maps
        return self._hugetlb

    def _find_merged(self, maps: Maps) -> tuple[Vma, ...]:
        """The mappings of which equal pages are merged: an entry that is made for one forgets its bit."""
        if not merges_pages_of(self.identity.pid):
            return ()
        mergeable = {entry.start for entry in read_smaps(self.identity.pid) if entry.is_mergeable}
        return tuple(vma for vma in maps.vmas if vma.start in mergeable)

    def _in_use_privately(self, vmas: tuple[Vma, ...]) -> PageSet:
        private = [vma for vma in vmas if vma.is_private]
        if not private:
            return EMPTY
        pages = PageSet.from_addresses([vma.start for vma in private], [vma.end for vma in private])
        return self._pages.pagemap.read(pages.ranges()).pages(without=Category.FILE)

    def adopt_canary(self, canary: Canary) -> bool:
        """See `Tracker.adopt_canary`."""
        if not canary.is_telling or not canary.is_intact(self._pages.pagemap):
            return False
        self._canary = canary
        return True

    def follow_epoch(self, canary: Canary | None) -> None:
        """See `Tracker.follow_epoch`."""
        self._canary = canary

    @property
    def canary(self) -> Canary | None:
        """See `Tracker.canary`."""
        return self._canary

    def close(self) -> None:
        """See `Tracker.close`; soft-dirty bits need no undoing."""
        self._pages.close()


def _find_none(maps: Maps) -> tuple[Vma, ...]:
    """In the place of `_find_merged`, for a figure: to find them is costly."""
    return ()


def _may_be_hugetlb(vma: Vma) -> bool:
    is_named = vma.inode != 0 and vma.kind is not VmaKind.SHMEM
    return is_named and not (vma.start | vma.end) & _UNALIGNED
