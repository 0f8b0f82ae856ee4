"""One image directory, read."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import BadImage
from engine.images.files import reading
from engine.images.framing import Magic, read_message
from engine.images.layout import (
    COMMON_SUFFIX,
    INVENTORY,
    PARENT,
    PARTIAL_SUFFIX,
    PSTREE,
    STATS,
    LinkKind,
    is_pagemap,
    is_pages,
    pagemap_name,
    pagemap_pid,
    pages_name,
)
from engine.images.pagemap import Pagemap, read_pagemap
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.stats import DumpStats
from engine.printable import printable


@dataclass(frozen=True, eq=False)
class Link:
    """One complete image directory, of ours or of CRIU's. Its pagemaps are read when asked for."""

    path: Path
    kind: LinkKind
    parent: Path | None
    """The directory that its holes refer to."""
    names: frozenset[str]
    """Of all its files."""
    stats: DumpStats | None
    """None if `stats-dump` tells of no dump."""
    restorable: bool
    """Whether `criu restore` accepts it: only what CRIU has dumped itself is."""
    made_at_s: float
    """When it was completed, in seconds since 1970."""
    _pagemaps: dict[str, Pagemap] = field(default_factory=dict, repr=False)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose memory it holds, ascending."""
        return tuple(sorted(pid for name in self.names if (pid := pagemap_pid(name)) is not None))

    @property
    def pagemap_names(self) -> tuple[str, ...]:
        """The files that list pages, of processes and of shared memory."""
        return tuple(sorted(name for name in self.names if is_pagemap(name)))

    @property
    def pages_names(self) -> tuple[str, ...]:
        """The files that hold page data."""
        return tuple(sorted(name for name in self.names if is_pages(name)))

    @property
    def is_part(self) -> bool:
        """Whether it only has what several processes have in common of the link after it."""
        return self.path.name.endswith(COMMON_SUFFIX)

    def pagemap(self, pid: int) -> Pagemap:
        """Which pages of a process it holds.

        Raises:
            BadImage: none, or the file is damaged.
        """
        return self.pagemap_named(pagemap_name(pid))

    def pagemap_named(self, name: str) -> Pagemap:
        """What one of `pagemap_names` lists. Errors as of `pagemap`."""
        known = self._pagemaps.get(name)
        if known is None:
            known = self._pagemaps[name] = read_pagemap(self.path / name)
        return known

    def pages_path(self, pagemap: Pagemap) -> Path:
        """The file with the data of one of its pagemaps."""
        return self.path / pages_name(pagemap.pages_id)

    def size_bytes(self) -> int:
        """How much page data it holds.

        Raises:
            BadImage: a file has gone.
        """
        with reading(self.path):
            return sum(os.lstat(self.path / name).st_size for name in self.pages_names)


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link in figures, for display."""

    number: int
    """1 for the oldest of the chain."""
    kind: LinkKind
    path: Path
    size_bytes: int
    """Of the page data."""
    pages_written: int
    """Shared memory included, as in `pages_in_parent`."""
    pages_in_parent: int
    stopped_us: int
    """How long the target was stopped for it."""
    restorable: bool
    pids: tuple[int, ...]
    made_at_s: float
    """When it was completed, in seconds since 1970."""

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop images --json`."""
        return {
            "link": self.number,
            "kind": self.kind.value,
            "path": str(self.path),
            "bytes": self.size_bytes,
            "pages_written": self.pages_written,
            "pages_in_parent": self.pages_in_parent,
            "stopped_us": self.stopped_us,
            "restorable": self.restorable,
            "pids": list(self.pids),
            "made_at": round(self.made_at_s, 3),
        }


@dataclass(frozen=True, eq=False)
class Chain:
    """Links joined by `parent`."""

    links: tuple[Link, ...]
    """Oldest first; at least one. Before some is a part of it, with what several processes have in common."""

    def infos(self) -> tuple[LinkInfo, ...]:
        """Each link in figures, with all its parts.

        Raises:
            BadImage: a file has gone.
        """
        common: Link | None = None
        infos: list[LinkInfo] = []
        for link in self.links:
            if link.is_part:
                common = link
            else:
                infos.append(_info(len(infos) + 1, link, common))
                common = None
        return tuple(infos)


def read_link(path: Path) -> Link:
    """Read one directory, without its ancestors.

    Raises:
        BadImage: it is incomplete, or damaged, or its parent is not there.
    """
    with reading(path):
        real = Path(os.path.realpath(path, strict=True))
        names = frozenset(os.listdir(real))
    shown = printable(str(real))
    if real.name.endswith(PARTIAL_SUFFIX):
        raise BadImage(f"{shown} has not been completed, or is just being written")
    if STATS not in names:
        raise BadImage(
            f"{shown} is incomplete: it has no {STATS}",
            hint=f"CRIU writes {STATS} into its work directory (-W): if it is there, copy it",
        )
    stats = DumpStats.from_message(read_message(real / STATS, Magic.STATS, StatsEntry))
    kind = LinkKind.DUMP if PSTREE in names else LinkKind.PRE_DUMP
    has_files = (
        INVENTORY in names and read_message(real / INVENTORY, Magic.INVENTORY, InventoryEntry).fdinfo_per_id
    )
    with reading(real / STATS):
        made_at_s = os.lstat(real / STATS).st_mtime
    return Link(
        path=real,
        kind=kind,
        parent=_parent_of(real) if PARENT in names else None,
        names=names,
        stats=stats,
        restorable=kind is LinkKind.DUMP and has_files,
        made_at_s=made_at_s,
    )


def _parent_of(path: Path) -> Path:
    """Where the `parent` of a link leads.

    Raises:
        BadImage: nowhere, or it is not a relative link.
    """
    shown = printable(str(path / PARENT))
    try:
        target = os.readlink(path / PARENT)
    except OSError as error:
        raise BadImage(f"{shown} is not a symbolic link") from error
    if os.path.isabs(target):
        raise BadImage(
            f"{shown} is absolute ({printable(target)}): it leads elsewhere once the chain is moved",
            hint=f"make it relative, as in ../{printable(os.path.basename(target))}",
        )
    try:
        found = Path(os.path.realpath(path / PARENT, strict=True))
    except OSError as error:
        why = "is a loop of links" if error.errno == errno.ELOOP else "is not there"
        raise BadImage(f"{shown}: the parent {printable(target)} {why}") from error
    if not found.is_dir():
        raise BadImage(f"{shown}: the parent {printable(target)} is not a directory")
    return found


def _info(number: int, link: Link, common: Link | None) -> LinkInfo:
    written, in_parent = _counts(link)
    if common is not None:
        # What is left to the link before, it passes on; the rest of what the link leaves to it, it has.
        also_written, in_parent = _counts(common)
        written += also_written
    return LinkInfo(
        number=number,
        kind=link.kind,
        path=link.path,
        size_bytes=link.size_bytes() + (common.size_bytes() if common is not None else 0),
        pages_written=written,
        pages_in_parent=in_parent,
        stopped_us=link.stats.frozen_us if link.stats else 0,
        restorable=link.restorable,
        pids=link.pids,
        made_at_s=link.made_at_s,
    )


def _counts(link: Link) -> tuple[int, int]:
    stats = link.stats or DumpStats()
    return (
        stats.pages_written + stats.shpages_written,
        stats.pages_skipped_parent + stats.shpages_skipped_parent,
    )
