"""Tells memory that was moved to where other memory was, which soft-dirty bits do not.

`mremap` marks the pages that it moves as soft-dirty, but not where it moves a whole page table at once: where
source and destination lie alike in what one page table spans, 2 MiB (mm/mremap.c, move_normal_pmd). Pages
that were not written since the clear then read as clean, and stand where the last image has other pages.

Moved pages keep their page frames. Of what each page table spans, two pages are therefore remembered with the
frames that stood for them when an image was begun: as long as one of these frames still stands there, the
page table was not replaced. A page also changes its frame when it is swapped, migrated or copied on write:
what cannot be told counts as moved.
"""

from __future__ import annotations

from typing import Final, Self, final

import numpy as np

from engine.kernel.pagemap import Pagemap, find_zero_frame
from engine.pageset import EMPTY, PAGE_SHIFT, Int64Array, PageSet

_SPAN_SHIFT: Final = PAGE_SHIFT - 3
"""A page table is a page of entries of eight bytes: it spans so many pages, as a power of two."""


def _spans_of(pages: PageSet) -> tuple[Int64Array, Int64Array, Int64Array]:
    """The spans that have any of these pages, ascending; and the first and the last such page of each."""
    if not pages:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    first, last = pages.starts >> _SPAN_SHIFT, (pages.ends - 1) >> _SPAN_SHIFT
    pieces = last - first + 1
    origin = np.repeat(np.arange(len(first)), pieces)
    span = np.arange(len(origin)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + first[origin]
    low = np.maximum(pages.starts[origin], span << _SPAN_SHIFT)
    high = np.minimum(pages.ends[origin], (span + 1) << _SPAN_SHIFT) - 1
    begins = np.flatnonzero(np.concatenate(([True], span[1:] != span[:-1])))
    ends = np.append(begins[1:], len(span)) - 1
    return span[begins], low[begins], high[ends]


@final
class FrameMarks:
    """The frames of some pages of one process at one moment; immutable."""

    def __init__(self, spans: Int64Array, pages: Int64Array, frames: Int64Array) -> None:
        """Put together what `take` found; `pages` and `frames` are of shape (n, 2), `spans` of shape (n,)."""
        self.spans = spans
        self.pages = pages
        self.frames = frames

    @property
    def are_there(self) -> bool:
        """Whether there is anything to compare with."""
        return len(self.spans) > 0

    @property
    def are_missing(self) -> bool:
        """Whether there is nothing to compare with, though frames can be known."""
        return can_tell() and not self.are_there

    @classmethod
    def take(cls, pagemap: Pagemap, pages: PageSet) -> Self:
        """Remember what stands for some of these pages, at least one in each span. Raises TargetGone."""
        if not can_tell():
            return cls.from_pages(EMPTY.starts, EMPTY.starts)
        _, first, last = _spans_of(pages)
        marked = np.column_stack((first, last)).ravel()
        return cls.from_pages(marked, np.array(pagemap.frames(marked.tolist()), np.int64))

    @classmethod
    def from_pages(cls, pages: Int64Array, frames: Int64Array) -> Self:
        """From two pages a span, ascending, and their frames; shape (2 n,) each."""
        by_span = pages.reshape(-1, 2)
        return cls(by_span[:, 0] >> _SPAN_SHIFT, by_span, frames.reshape(-1, 2))

    def moved(self, pagemap: Pagemap, pages: PageSet) -> PageSet:
        """Which of these pages may have been moved to where they are since the marks were taken.

        All pages of a span without marks; none where we may not know frames. Raises TargetGone.
        """
        if not pages or not can_tell():
            return EMPTY
        spans, _, _ = _spans_of(pages)
        stand = np.zeros(len(spans), np.bool_)
        at = np.searchsorted(self.spans, spans)
        known = np.flatnonzero(at < len(self.spans))
        known = known[self.spans[at[known]] == spans[known]]
        for column in (0, 1):
            asked = known[~stand[known]]
            now = np.array(pagemap.frames(self.pages[at[asked], column].tolist()), np.int64)
            stand[asked] = (now == self.frames[at[asked], column]) & (now != 0)
        gone = spans[~stand]
        return pages & PageSet(gone << _SPAN_SHIFT, (gone + 1) << _SPAN_SHIFT)

    def replaced(self, pagemap: Pagemap, pages: PageSet) -> PageSet:
        """Which of these pages are marked, and surely are no longer what they were. Raises TargetGone."""
        if not pages or not can_tell():
            return EMPTY
        asked = np.unique(self.pages[pages.contains_each(self.pages)])
        known = dict(zip(self.pages.ravel().tolist(), self.frames.ravel().tolist(), strict=True))
        now = pagemap.frames(asked.tolist())
        return PageSet.from_pages(
            [page for page, frame in zip(asked.tolist(), now, strict=True) if known[page] != frame]
        )


NO_MARKS: Final = FrameMarks.from_pages(EMPTY.starts, EMPTY.starts)
"""Everything may have been moved."""


def can_tell() -> bool:
    """Whether we may know frames (CAP_SYS_ADMIN)."""
    return find_zero_frame() != 0
