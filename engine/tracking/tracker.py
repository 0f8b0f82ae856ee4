"""What every tracker does: tell which pages of one process were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, PageSet
from engine.tracking.canary import Canary
from engine.tracking.sample import RateMode, TrackerKind, Untracked


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
    """Somebody else has begun an epoch since ours: pages may have been written and not show."""


class Tracker(Protocol):
    """Learns of writes to the memory of one process, from `execve` to `execve`."""

    kind: TrackerKind
    modes: tuple[RateMode, ...]
    stopped_to_attach_us: int

    def arm(self, *, stopped: bool = False) -> Collected:
        """Begin an epoch: what is written from now on shows. What was written before need not be found out.

        Args:
            stopped: the caller has stopped the target already.

        Raises:
            TargetGone: it has exited.
        """
        ...

    def collect(
        self, *, rearm: bool, exact: bool = True, stopped: bool = False, for_link: bool = True
    ) -> Collected:
        """What was written in this epoch.

        Args:
            rearm: begin a new epoch in the same step.
            exact: no write may be lost between reading and re-arming, even if the target has to
                be stopped for it. A figure that is only shown may do without.
            stopped: the caller has stopped the target already.
            for_link: an image will be made of it. A tick may leave out what is costly to find out and
                comes to light at the next link at the latest.

        Raises:
            TargetGone: it has exited.
        """
        ...

    @property
    def canary(self) -> Canary | None:
        """What tells whether somebody else cleared in this epoch; None if nothing tells."""
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
