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
from engine.images.pagemap import PagemapFile, PagemapImage
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
        pid = pagemap_pid(name)
        found = _Found(Maps.of(()) if pid is None else maps.get(pid, Maps.of(())))
        for part in PagemapFile(link.path / name).pieces():
            found.add(part)
        areas += found.areas(pid or 0, SHARED if pid is None else GONE)
    return tuple(sorted(areas, key=lambda area: (area.pid, area.start)))


@dataclass(slots=True)
class _Gap:
    """What was found between two mappings."""

    first: int
    end: int
    written: int = 0
    in_parent: int = 0


class _Found:
    """What one pagemap lists, counted while it is read."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._written = np.zeros(len(maps.vmas), np.int64)
        self._in_parent = np.zeros(len(maps.vmas), np.int64)
        self._gaps: dict[int, _Gap] = {}
        """By how many mappings begin before."""

    def add(self, part: PagemapImage) -> None:
        self._written += self._maps.count(part.present)
        self._in_parent += self._maps.count(part.in_parent)
        written, in_parent = part.present - self._maps.pages, part.in_parent - self._maps.pages
        pages = written | in_parent
        gaps = np.searchsorted(self._maps.starts, pages.starts)
        for at in np.unique(gaps).tolist():
            inside = np.flatnonzero(gaps == at)
            first, end = int(pages.starts[inside[0]]), int(pages.ends[inside[-1]])
            gap = self._gaps.setdefault(at, _Gap(first, end))
            gap.end = end
            gap.written += written.clip(first, end).count
            gap.in_parent += in_parent.clip(first, end).count

    def areas(self, pid: int, unmapped: str) -> Iterator[Area]:
        """What lies in known mappings, and one area for each gap between two of them."""
        for at in np.flatnonzero(self._written + self._in_parent).tolist():
            vma = self._maps.vmas[at]
            written, in_parent = int(self._written[at]), int(self._in_parent[at])
            yield Area(pid, vma.start, vma.end, vma.perms, vma.name, written, in_parent)
        for gap in self._gaps.values():
            start, end = gap.first << PAGE_SHIFT, gap.end << PAGE_SHIFT
            yield Area(pid, start, end, "", unmapped, gap.written, gap.in_parent)
