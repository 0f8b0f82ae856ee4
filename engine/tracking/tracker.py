"""What every tracker does: tell which pages of one process were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, PageSet
from engine.tracking.abilities import Abilities
from engine.tracking.canary import Canary
from engine.tracking.sample import Untracked


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What one look at a process's pages found. Sets hold page numbers."""

    maps: Maps
    """The mappings as they were at that moment."""
    written: PageSet = EMPTY
    """Written in this epoch, present or swapped: pages of private files only once they are copies of
    our own, never the shared zero page; whole mappings where their writes cannot be seen."""
    untracked: tuple[Untracked, ...] = ()
    doubtful: PageSet = EMPTY
    """May have changed without being written, or were written and do not show it: an image must hold them."""
    stopped_us: int = 0
    huge: PageSet = EMPTY
    """Of `written`, the pages that lie in huge pages: each may be there only because a neighbour is."""
    cleared_by_others: bool = False
    """Another program has begun an epoch since ours: pages may have been written and not show."""
    begins_epoch: bool = False
    """A new epoch has begun with this look: what is written from now on shows at the next one."""


class Tracker(Protocol):
    """Learns of writes to the memory of one process, from `execve` to `execve`.

    Figures that are only shown are looked up by a *glance* or a *tick*, which may leave out what is costly to
    find out. The next look *in full*, which an image is made of, brings it to light. Each look raises
    TargetGone where the process has exited.
    """

    abilities: Abilities
    stopped_to_attach_us: int

    # -- looks that begin an epoch: what is written from then on shows at the next look

    def arm(self) -> Collected:
        """Begin an epoch. What was written before need not be found out."""
        ...

    def arm_stopped(self) -> Collected:
        """The same, of a process that the caller has stopped."""
        ...

    def tick(self) -> Collected:
        """What was written in this epoch, for a figure. A write just while it re-arms may go unseen."""
        ...

    def tick_exactly(self) -> Collected:
        """The same without losing a write, though the target may have to be stopped: images rely on it."""
        ...

    def begin_epoch(self) -> Collected:
        """What was written in this epoch, in full and without losing a write: an image is made of it."""
        ...

    # -- looks that begin none

    def glance(self) -> Collected:
        """What was written in this epoch, for a figure."""
        ...

    def look(self) -> Collected:
        """What was written in this epoch, in full."""
        ...

    def last(self) -> Collected:
        """What was written in this epoch, in full, of a process that the caller has stopped: its last image.

        Whether an epoch begins with it is all one, and left to what is less work while all waits.
        """
        ...

    # -- epochs of others

    @property
    def canary(self) -> Canary | None:
        """What tells whether another program cleared in this epoch; None if nothing tells."""
        ...

    def adopt_canary(self, canary: Canary) -> bool:
        """Go on in an epoch that an earlier program began with this canary.

        Returns:
            Whether this is that epoch, undisturbed. Also False if the canary is too small to tell.
        """
        ...

    def follow_epoch(self, canary: Canary | None) -> None:
        """CRIU has begun an epoch for a link of ours, with this canary: the clear was nobody else's."""
        ...

    def close(self) -> None:
        """Take every trace of us from the target; may be called twice."""
        ...
