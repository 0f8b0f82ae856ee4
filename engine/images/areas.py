"""What a link holds of each mapping: the pages written into it, and those it leaves to its parent.

A pre-dump does not say which mappings there were, and no image says what they are called, so the maps of
the process are given from outside. Pages of mappings that have gone since are told apart by where in
between the others they lay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.images.layout import pagemap_pid
from engine.images.link import Link
from engine.images.pagemap import Pagemap
from engine.kernel.maps import Maps
from engine.pageset import PAGE_SHIFT

GONE: Final = "(no longer mapped)"
SHARED: Final = "(shared memory)"


@dataclass(frozen=True, slots=True)
class Area:
    """Some memory of one process."""

    pid: int
    """0 for shared memory that has an image of its own; addresses are then offsets."""
    start: int
    """Byte address."""
    end: int
    perms: str
    """As in "rw-p"; empty where the mapping is not known any more."""
    name: str
    """Fit to be shown."""
    written_pages: int
    """With their data in this link."""
    in_parent_pages: int
    """Left to the parent."""


def link_areas(link: Link, maps: Mapping[int, Maps]) -> tuple[Area, ...]:
    """Every area of which the link holds pages, by process and address.

    Args:
        link: with all its files.
        maps: of the processes, by pid, as far as they are known.

    Raises:
        BadImage: a pagemap is missing or damaged.
    """
    areas: list[Area] = []
    for name in link.pagemap_names:
        pagemap, pid = link.pagemap_named(name), pagemap_pid(name)
        if pid is None:
            areas += _between(pagemap, Maps.of(()), 0, SHARED)
        else:
            known = maps.get(pid, Maps.of(()))
            areas += _mapped(pagemap, known, pid)
            areas += _between(pagemap, known, pid, GONE)
    return tuple(sorted(areas, key=lambda area: (area.pid, area.start)))


def _mapped(pagemap: Pagemap, maps: Maps, pid: int) -> Iterator[Area]:
    written, in_parent = maps.count(pagemap.present), maps.count(pagemap.in_parent)
    for at in np.flatnonzero(written + in_parent).tolist():
        vma = maps.vmas[at]
        yield Area(pid, vma.start, vma.end, vma.perms, vma.name, int(written[at]), int(in_parent[at]))


def _between(pagemap: Pagemap, maps: Maps, pid: int, name: str) -> Iterator[Area]:
    """What lies in no known mapping: one area for each gap between two of them."""
    written, in_parent = pagemap.present - maps.pages, pagemap.in_parent - maps.pages
    pages = written | in_parent
    gaps = np.searchsorted(maps.starts, pages.starts)
    for gap in np.unique(gaps).tolist():
        inside = np.flatnonzero(gaps == gap)
        first, end = int(pages.starts[inside[0]]), int(pages.ends[inside[-1]])
        yield Area(
            pid,
            first << PAGE_SHIFT,
            end << PAGE_SHIFT,
            "",
            name,
            written.clip(first, end).count,
            in_parent.clip(first, end).count,
        )
