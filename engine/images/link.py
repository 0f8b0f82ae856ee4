"""Reads one image directory."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.errors import BadImage, UnknownFormat
from engine.images import limits
from engine.images.files import reading
from engine.images.framing import NEWER_CRIU, Magic, read_message
from engine.images.layout import (
    COMMON_SUFFIX,
    INVENTORY,
    PARENT,
    PARTIAL_SUFFIX,
    PSTREE,
    SIDECAR,
    STATS,
    LinkKind,
    is_debug,
    is_image,
    is_pagemap,
    is_pages,
    pagemap_name,
    pagemap_pid,
    pages_name,
)
from engine.images.pagemap import PagemapImage, read_pagemap
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.stats import DumpStats
from engine.pageset import PAGE_SHIFT
from engine.printable import printable

_PAGES_THERE_ARE: Final = 1 << (limits.OBJECT_SIZE_BITS - PAGE_SHIFT)
_NEWEST_VERSION: Final = 2
"""Of images (criu/include/magic.h)."""


@dataclass(frozen=True, eq=False)
class Link:
    """One complete image directory, of ours or of CRIU's. Its pagemaps are read when asked for."""

    path: Path
    kind: LinkKind
    parent: Path | None
    """The directory that its holes refer to."""
    absolute_parent: str
    """What its `parent` says, if that is an absolute path; else empty."""
    names: frozenset[str]
    """Of all its files."""
    stats: DumpStats | None
    """None if `stats-dump` tells of no dump."""
    restorable: bool
    """Whether `criu restore` accepts it: only what CRIU has dumped itself is."""
    made_at_s: float
    """When it was completed, in seconds since 1970."""

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

    @property
    def other_names(self) -> tuple[str, ...]:
        """What belongs to it besides memory: a link that is made of it has these as they are."""
        memory = {*self.pagemap_names, *self.pages_names}
        others = [name for name in self.names - memory if is_image(name) or is_debug(name)]
        # Nobody goes on after a dump: of what dirtytop says there, all stays true.
        if self.kind is LinkKind.DUMP and SIDECAR in self.names:
            others.append(SIDECAR)
        return tuple(sorted(others))

    def pagemap(self, pid: int) -> PagemapImage:
        """Which pages of a process it holds: all of it at once, so of a link that can be trusted.

        Raises:
            BadImage: none, or the file is damaged. UnknownFormat: it says more than we understand.
        """
        return self.pagemap_named(pagemap_name(pid))

    def pagemap_named(self, name: str) -> PagemapImage:
        """What one of `pagemap_names` lists. Errors as of `pagemap`."""
        return read_pagemap(self.path / name)

    def pages_path(self, pagemap: PagemapImage) -> Path:
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
    stopped_us: int | None
    """How long the target was stopped for it; None if its `stats-dump` does not tell."""
    restorable: bool
    pids: tuple[int, ...]
    made_at_s: float
    """When it was completed, in seconds since 1970."""

    @property
    def stopped_s(self) -> float | None:
        """`stopped_us` in seconds."""
        return None if self.stopped_us is None else self.stopped_us / 1e6

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
class ImageChain:
    """Links joined by `parent`."""

    links: tuple[Link, ...]
    """Oldest first; at least one. Before some is a part of it, with what several processes have in common."""
    incomplete: tuple[Path, ...] = ()
    """Directories beside the last link that are numbered as newer links and lack what completes one."""

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
        UnknownFormat: it is newer than what we understand.
    """
    with reading(path):
        real = Path(os.path.realpath(path, strict=True))
    names = list_names(real)
    shown = printable(str(real))
    if real.name.endswith(PARTIAL_SUFFIX):
        raise BadImage(f"{shown} has not been completed, or is just being written")
    if STATS not in names:
        raise BadImage(
            f"{shown} is incomplete: it has no {STATS}",
            hint=f"CRIU writes {STATS} into its work directory (-W): if it is there, copy it",
        )
    stats = _read_stats(real / STATS)
    kind = LinkKind.DUMP if PSTREE in names else LinkKind.PRE_DUMP
    has_files = INVENTORY in names and _has_files(real / INVENTORY)
    with reading(real / STATS):
        made_at_s = os.lstat(real / STATS).st_mtime
    parent, absolute_parent = _parent_of(real) if PARENT in names else (None, "")
    return Link(
        path=real,
        kind=kind,
        parent=parent,
        absolute_parent=absolute_parent,
        names=names,
        stats=stats,
        restorable=kind is LinkKind.DUMP and has_files,
        made_at_s=made_at_s,
    )


def list_names(directory: Path) -> frozenset[str]:
    """What there is in a directory.

    Raises:
        BadImage: it cannot be read, or holds more files than any link.
    """
    with reading(directory), os.scandir(directory) as entries:
        names = frozenset(entry.name for entry in islice(entries, limits.LINK_FILES + 1))
    if len(names) > limits.LINK_FILES:
        raise BadImage(f"{printable(str(directory))} holds more than {limits.LINK_FILES} files")
    return names


def _read_stats(path: Path) -> DumpStats | None:
    stats = DumpStats.from_message(read_message(path, Magic.STATS, StatsEntry))
    if stats is not None and stats.most_pages >= _PAGES_THERE_ARE:
        raise BadImage(f"{printable(str(path))} tells of {stats.most_pages} pages: no memory has so many")
    return stats


def _has_files(inventory: Path) -> bool:
    """Whether an inventory says that open files were saved too."""
    found = read_message(inventory, Magic.INVENTORY, InventoryEntry)
    if found.img_version > _NEWEST_VERSION:
        raise UnknownFormat(
            f"{printable(str(inventory))}: images of version {found.img_version}, and we know those up to "
            f"{_NEWEST_VERSION}",
            hint=NEWER_CRIU,
        )
    return found.fdinfo_per_id


def _parent_of(path: Path) -> tuple[Path, str]:
    """Where the `parent` of a link leads, and what it says if that is an absolute path.

    Raises:
        BadImage: nowhere, or it is no link.
    """
    shown = printable(str(path / PARENT))
    try:
        target = os.readlink(path / PARENT)
    except OSError as error:
        raise BadImage(f"{shown} is not a symbolic link") from error
    try:
        found = Path(os.path.realpath(path / PARENT, strict=True))
    except OSError as error:
        why = "is a loop of links" if error.errno == errno.ELOOP else "is not there"
        raise BadImage(f"{shown}: the parent {printable(target)} {why}") from error
    with reading(found):
        is_directory = stat.S_ISDIR(os.stat(found).st_mode)
    if not is_directory:
        raise BadImage(f"{shown}: the parent {printable(target)} is not a directory")
    return found, target if os.path.isabs(target) else ""


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
        stopped_us=link.stats.frozen_us if link.stats else None,
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
