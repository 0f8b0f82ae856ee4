"""Pages written, added up by who wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.attribution.matching import Matched
from engine.kernel.maps import Maps
from engine.pageset import Int64Array


class Writer(NamedTuple):
    """Who wrote a page, and where."""

    pid: int
    tid: int
    chain: int
    """By its number in `ChainTable`."""
    vma: tuple[int, str]
    """The mapping: its first byte address, and its name."""


@dataclass(slots=True)
class Tally:
    """Pages by writer, over some ticks."""

    pages: Counter[Writer] = field(default_factory=Counter)
    written_pages: int = 0
    """What the tracker has reported."""
    unattributed_pages: int = 0
    """Of these, those that no fault explains."""
    huge_pages: int = 0
    """Of those attributed, those that came with another page of the same huge page."""
    lost_faults: int = 0
    """Faults of which nothing but their number is known, since rings were full."""
    seconds: float = 0.0
    """Measured, from the first tick to the last."""

    @property
    def attributed_pages(self) -> int:
        """Pages whose writer is known."""
        return self.written_pages - self.unattributed_pages

    def add(self, pid: int, maps: Maps, matched: Matched, written_pages: int) -> None:
        """Add one process's part of a tick.

        Args:
            pid: whose.
            maps: its mappings.
            matched: whose its pages are.
            written_pages: what the tracker reported.
        """
        self.written_pages += written_pages
        counted = self._count(pid, maps, matched)
        self.huge_pages += int(matched.extra.sum())
        self.unattributed_pages += max(0, written_pages - counted)

    def _count(self, pid: int, maps: Maps, matched: Matched) -> int:
        writes = matched.writes
        if not len(writes):
            return 0
        weights: Int64Array = (matched.extra + 1) * writes.weights
        vmas = np.searchsorted(maps.starts, writes.pages, side="right") - 1
        keys = np.stack((writes.tids.astype(np.int64), writes.chains.astype(np.int64), vmas))
        distinct, which = np.unique(keys, axis=1, return_inverse=True)
        sums = np.bincount(which.ravel(), weights=weights, minlength=distinct.shape[1]).astype(np.int64)
        for (tid, chain, at_vma), count in zip(distinct.T.tolist(), sums.tolist(), strict=True):
            vma = maps.vmas[at_vma]
            self.pages[Writer(pid, tid, chain, (vma.start, vma.name))] += count
        return int(sums.sum())

    def __iter__(self) -> Iterator[tuple[Writer, int]]:
        """Writers, most pages first."""
        return iter(self.pages.most_common())
