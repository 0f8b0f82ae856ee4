"""Pages that several processes of a tree have in common, copy-on-write: found by the frames they are in.

After fork(2) parent and child have the same pages, in the same places, until one of them writes. What is
in the same frame in two processes is the same, and stays so while both have it there: whoever writes gets
another frame. So of a process that runs it is enough to see, before it is read and afterwards, that a page
has not moved. (The other may have left the frame meanwhile. But then it has written: that is pending.)

Frame numbers need CAP_SYS_ADMIN. Without it nothing is in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetGone
from engine.kernel.exclusive_pages import find_frames
from engine.kernel.pagemap import Pagemap, find_zero_frame
from engine.pageset import EMPTY, Int64Array, PageSet
from engine.tracking.tracked_process import LinkPlan, TrackedProcess

LEAST_PAGES: Final = 256
"""A link of its own is worth it from so many pages on that need not be written twice."""
_SAMPLES: Final = 64
_CHUNK_PAGES: Final = 1 << 14

_Frames = NDArray[np.uint64]
_Members = Mapping[TrackedProcess, LinkPlan]


@dataclass(frozen=True, slots=True, eq=False)
class CommonPages:
    """What some processes have in common with one of them."""

    source: TrackedProcess
    """From whose memory it is to be read."""
    pages: PageSet
    others: Mapping[TrackedProcess, PageSet]
    """Which of these pages each of the others has."""
    _frames: _Frames
    """Where the source has them."""

    def kept(self, read: PageSet, *, has_run: bool) -> dict[TrackedProcess, PageSet]:
        """Of each process the pages that need not be saved for it alone.

        Args:
            read: what has just been read of the source.
            has_run: whether it has run meanwhile, and may have written to some of it before it was read: then
                the others have what it was before.
        """
        stayed = self._stayed() if has_run else self.pages
        kept = {process: pages & read & stayed for process, pages in self.others.items()}
        return {self.source: self.pages & read, **kept}

    def _stayed(self) -> PageSet:
        """What the source still has where it had it."""
        try:
            with Pagemap(self.source.identity.pid) as pagemap:
                return _chosen(self.pages, find_frames(pagemap, self.pages) == self._frames)
        except TargetGone:
            return EMPTY


def find_common(plans: _Members) -> tuple[CommonPages, ...]:
    """What the processes of a tree have in common of what a link needs.

    Args:
        plans: what it needs. What a process has in common is not among what it leaves to the link before.
    """
    if not find_zero_frame():
        return ()
    families: dict[tuple[str, str], dict[TrackedProcess, LinkPlan]] = defaultdict(dict)
    for process, plan in plans.items():
        if plan.needed:
            families[process.program][process] = plan
    found = (_find_in(family) for family in families.values() if len(family) > 1)
    return tuple(common for common in found if common is not None)


def _find_in(family: _Members) -> CommonPages | None:
    with ExitStack() as held:
        pagemaps: dict[TrackedProcess, Pagemap] = {}
        for process in family:
            try:
                pagemaps[process] = held.enter_context(Pagemap(process.identity.pid))
            except TargetGone:  # its own part of the link will tell
                continue
        source, members = _choose(family, pagemaps)
        if source is None:
            return None
        needed = family[source].needed - family[source].maps.huge
        same = dict.fromkeys(members, EMPTY)
        where: list[_Frames] = []
        for part in needed.chunks(_CHUNK_PAGES):
            where.append(find_frames(pagemaps[source], part))
            for process in same:
                equal = (find_frames(pagemaps[process], part) == where[-1]) & (where[-1] != 0)
                same[process] |= _chosen(part, equal)
    others = _agree({process: pages & family[process].needed for process, pages in same.items()}, family)
    pages = PageSet.union_all(others.values())
    if pages.count < LEAST_PAGES:
        return None
    frames = np.concatenate(where)[pages.contains_each(needed.pages())]
    return CommonPages(source, pages, others, frames)


def _choose(
    family: _Members, pagemaps: Mapping[TrackedProcess, Pagemap]
) -> tuple[TrackedProcess | None, list[TrackedProcess]]:
    """Who has most in common with the others, and with whom, judged by a few pages; None if it is too little.

    To compare all pages of one process with those of another takes a sixteenth of the time to read them.
    """
    union = PageSet.union_all(family[process].needed for process in pagemaps)
    ranks = np.linspace(0, union.count - 1, min(_SAMPLES, union.count)).astype(np.int64)
    samples = PageSet.from_pages(_at_ranks(union, ranks))
    processes, numbers = list(pagemaps), samples.pages()
    if len(processes) < 2:
        return None, []
    frames = np.stack([find_frames(pagemap, samples) for pagemap in pagemaps.values()])
    for row, process in enumerate(processes):
        frames[row, ~family[process].needed.contains_each(numbers)] = 0
    hits = np.array([((frames == row) & (row != 0)).sum(axis=1) for row in frames])
    np.fill_diagonal(hits, 0)
    best = int(hits.sum(axis=1).argmax())
    source, members = processes[best], [processes[at] for at in np.flatnonzero(hits[best])]
    spared = hits[best].sum() * union.count // len(numbers)
    if spared < max(LEAST_PAGES, len(members) * family[source].needed.count // 8):
        return None, []
    return source, members


def _agree(others: Mapping[TrackedProcess, PageSet], family: _Members) -> dict[TrackedProcess, PageSet]:
    """What is left if no process has in common what it, or any that takes part, leaves to the link before.

    One list says for all who take part which pages there are, and a page cannot both be there and be left to
    the link before. Who would keep more pages from the others than he has in common takes no part.
    """
    agreed = dict(others)
    for process, pages in others.items():
        clean = family[process].held & PageSet.union_all(agreed.values())
        if not pages or clean.count > pages.count:
            del agreed[process]
        elif clean:
            agreed = {other: kept - clean for other, kept in agreed.items()}
    return agreed


def _at_ranks(pages: PageSet, ranks: Int64Array) -> Int64Array:
    """The page numbers that stand at these places of the set in order."""
    through = np.cumsum(pages.ends - pages.starts)
    at = np.searchsorted(through, ranks, side="right")
    return np.asarray(pages.ends[at] - (through[at] - ranks))


def _chosen(pages: PageSet, chosen: NDArray[np.bool_]) -> PageSet:
    if chosen.all():
        return pages
    return PageSet.from_pages(pages.pages()[chosen])
