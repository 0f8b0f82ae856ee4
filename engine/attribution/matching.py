"""Gives each page that was written to the fault that made it so.

A page is protected when an epoch begins, so its first write is a fault; later ones are none. Other faults
happen too: reads of pages not mapped in yet, and writes to what is not tracked. Only what the tracker
reports counts, and each page once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.pageset import EMPTY, Int64Array, PageSet

_LATE: Final = np.int64(1) << 62


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Faults of one process; arrays of shape (n,)."""

    times_ns: Int64Array
    pages: Int64Array
    """Page numbers."""
    tids: NDArray[np.int32]
    chains: NDArray[np.int32]
    """Which call chain, by the numbers of `ChainTable`."""
    weights: NDArray[np.int32]
    """How many faults each stands for: 1, unless only one of several was looked at."""

    def __len__(self) -> int:
        """How many."""
        return len(self.pages)

    def __add__(self, other: Touches) -> Touches:
        """These and others."""
        return Touches(
            np.concatenate((self.times_ns, other.times_ns)),
            np.concatenate((self.pages, other.pages)),
            np.concatenate((self.tids, other.tids)),
            np.concatenate((self.chains, other.chains)),
            np.concatenate((self.weights, other.weights)),
        )

    def __getitem__(self, chosen: NDArray[np.bool_] | Int64Array) -> Touches:
        """Some of them."""
        return Touches(
            self.times_ns[chosen],
            self.pages[chosen],
            self.tids[chosen],
            self.chains[chosen],
            self.weights[chosen],
        )


NO_TOUCHES: Final = Touches(
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
)


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Whose the written pages of one process are."""

    writes: Touches
    """One for each page that was found to be somebody's, ascending by page."""
    extra: Int64Array
    """How many more pages each of these faults accounts for: those of the huge page that it mapped in."""
    unattributed: PageSet
    """Written, and by no fault that was seen."""
    later: Touches
    """Faults that may be of the epoch that had just begun; to be given to the next match."""


def match(touches: Touches, written: PageSet, began_ns: int, huge_pages: int) -> Matched:
    """Find out whose these pages are.

    Args:
        touches: faults since the last match, and what that left.
        written: what the tracker reports for this tick.
        began_ns: when it began to look. A page's fault before that is of this epoch; one after it may be of
            the next, and counts only for a page without one before.
        huge_pages: pages in a huge page; 1 if there are none.
    """
    if not len(touches):
        return Matched(NO_TOUCHES, NO_TOUCHES.pages, written, NO_TOUCHES)
    is_late = touches.times_ns > began_ns
    fits = np.flatnonzero(written.contains_each(touches.pages))
    # Of those before, the last: what came earlier was a read. Of those after, the first.
    since = touches.times_ns[fits] - began_ns
    rank = np.where(is_late[fits], since + _LATE, -since)
    order = fits[np.lexsort((rank, touches.pages[fits]))]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = touches.pages[order[1:]] != touches.pages[order[:-1]]
    chosen = order[is_first]
    later = is_late.copy()
    later[chosen] = False
    writes = touches[chosen]
    rest = written - PageSet.from_pages(writes.pages)
    extra, explained = _huge(writes, rest, written, huge_pages)
    return Matched(writes, extra, rest - explained, touches[later])


def _huge(writes: Touches, rest: PageSet, written: PageSet, huge_pages: int) -> tuple[Int64Array, PageSet]:
    """Of what no fault names, the huge pages that were written as a whole and in which just one fault was."""
    extra = np.zeros(len(writes), np.int64)
    if huge_pages == 1 or not rest:
        return extra, EMPTY
    places = writes.pages // huge_pages
    is_alone = np.ones(len(places), np.bool_)
    is_alone[1:] &= places[1:] != places[:-1]
    is_alone[:-1] &= places[1:] != places[:-1]
    begins = places * huge_pages
    is_whole = written.count_within(begins, begins + huge_pages) == huge_pages
    at = np.flatnonzero(is_alone & is_whole)
    extra[at] = huge_pages - 1
    return extra, rest & PageSet(begins[at], begins[at] + huge_pages)
