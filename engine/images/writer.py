"""Writes one link, which is there whole or not at all.

Everything goes into `NAME.partial` (see `partial.py`). `commit` makes it durable, writes `stats-dump`
last and gives the directory its name. Whatever ends the writer before that, short of SIGKILL, removes
what was written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from google.protobuf.message import Message

from engine.errors import LinkFailed
from engine.images.files import bypass_page_cache, write_fully, writing
from engine.images.framing import Magic, pack
from engine.images.layout import (
    INVENTORY,
    PARENT,
    PSTREE,
    STATS,
    LinkKind,
    pagemap_name,
    pages_name,
)
from engine.images.pagemap import PagemapImage
from engine.images.pagemap_writer import PagemapWriter
from engine.images.parent import path_to_parent
from engine.images.partial import PartialDirectory
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.stats import DumpStats
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.printable import printable
from engine.trust.directory import OpenDirectory

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# CRIU's other mode, "read", leaves out memory that the process itself may not read. We do not.
_SPLICE_MODE: Final = 1
_NEW_PARENT: Final = "new-parent.img"
"""Named so that a `.partial` with it in it is still known for one of ours."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A link that is now there."""

    path: Path
    size_bytes: int
    """Of the page data."""
    sync_s: float
    """Time to make it durable."""


class LinkWriter:
    """Writes the directory `path`; used with `with`, it is gone again unless `commit` was called.

    ```
    with LinkWriter(directory / "2", LinkKind.PRE_DUMP, parent=directory / "1") as link:
        pages = link.open_pages(pid, pages_id=1)
        pages.write(buffer, written)
        pages.finish(holes=clean, lazy=written)
        link.commit(DumpStats(pages_written=link.pages_written, …), dump_uptime_us=…)
    ```
    """

    def __init__(
        self, path: Path, kind: LinkKind, parent: Path | None = None, above: OpenDirectory | None = None
    ) -> None:
        """Make `path`, with `.partial` after its name, in a directory that exists.

        Args:
            path: the link to be; nothing of this name may exist.
            kind: what it will be.
            parent: the link that its holes refer to.
            above: the directory that it is made in; see `PartialDirectory`.

        Raises:
            NotTrusted: others could exchange the directory.
            LinkFailed: `path` exists, its directory cannot be written to, `parent` is not a complete
                link, or a `.partial` is in the way that is not plainly a dead one of ours.
        """
        self.kind = kind
        self.parent = parent
        self.above = above
        self.pages_written = 0
        """Pages with data so far."""
        self.pages_in_parent = 0
        """Pages left to the parent in the pagemaps finished so far."""
        self._open_pages: dict[int, PagesWriter] = {}
        target = None if parent is None else path_to_parent(path, parent, above)
        self._files = PartialDirectory(path, above)
        self.path = self._files.path
        if target is not None:
            try:
                self._files.link(PARENT, target)
            except BaseException:
                self.abort()
                raise

    @property
    def partial_path(self) -> Path:
        """Where the files are until `commit`; for people to read."""
        return self._files.partial_path

    def reading(self) -> AbstractContextManager[Path]:
        """By which path to read what is there by now; see `PartialDirectory.reading`."""
        return self._files.reading()

    def build_on(self, parent: Path) -> None:
        """Have its holes refer to another link than was said, or to one if none was.

        Args:
            parent: beside it; it need not be there yet, but has to be before this one is committed.

        Raises:
            LinkFailed: the disk would not take it.
        """
        self.parent = parent
        target = os.path.join(os.pardir, parent.name)
        if PARENT in self._files.names:
            self._files.link(_NEW_PARENT, target)
            self._files.replace(_NEW_PARENT, PARENT)
        else:
            self._files.link(PARENT, target)

    # -- content

    def open_pages(self, pid: int, pages_id: int) -> PagesWriter:
        """Begin the memory of a process.

        Args:
            pid: as it knows itself: the innermost pid.
            pages_id: numbers the pages file; used once in a link.
        """
        return self.open_pagemap(pagemap_name(pid), pages_id)

    def open_pagemap(self, name: str, pages_id: int) -> PagesWriter:
        """Begin the memory of whatever the pagemap of this file name is about."""
        if pages_id in self._open_pages:
            raise ValueError(f"pages id {pages_id} is already used in this link")
        fd = self._files.create(pages_name(pages_id))
        pages = PagesWriter(self, name, pages_id, fd)
        self._open_pages[pages_id] = pages
        with writing(self.path / pages_name(pages_id), "make it"):
            bypass_page_cache(fd)
        return pages

    def write_messages(self, name: str, magic: Magic, messages: Iterable[Message]) -> None:
        """Write a whole image file.

        Raises:
            LinkFailed: the disk would not take it.
        """
        self._files.write(name, pack(magic, messages))

    def write(self, name: str, content: bytes) -> None:
        """Write any other new file of the link. Errors as of `write_messages`."""
        self._files.write(name, content)

    def create(self, name: str) -> int:
        """A descriptor to write any other new file of the link with; the caller closes it."""
        return self._files.create(name)

    # -- the end

    def commit(self, stats: DumpStats, dump_uptime_us: int | None = None) -> Committed:
        """Make the link durable and give it its name. The writer is closed by that.

        Args:
            stats: its pages written and left to the parent have to be those that were.
            dump_uptime_us: /proc/uptime in microseconds at the moment tracking was cleared: CRIU takes
                a process that began later for another one. Only a link that got an inventory of its
                own, through `create`, does without.

        Raises:
            LinkFailed: the disk would not take it. Then there is no link, nor a `.partial`.
        """
        try:
            size_bytes = self._check(stats)
            if INVENTORY not in self._files.names:
                self.write_messages(INVENTORY, Magic.INVENTORY, [_inventory(dump_uptime_us)])
            began = time.monotonic()
            self._files.sync()
            self.write_messages(STATS, Magic.STATS, [stats.to_message()])
            self._files.sync(STATS)
            self._files.publish()
            sync_s = time.monotonic() - began
        finally:
            self.abort()
        return Committed(self.path, size_bytes, sync_s)

    def _check(self, stats: DumpStats) -> int:
        """Compare what is in the files with what they are said to hold; returns bytes of page data."""
        if not all(pages.is_finished for pages in self._open_pages.values()):
            raise ValueError("a pagemap has not been finished")
        if (PSTREE in self._files.names) != (self.kind is LinkKind.DUMP):
            raise ValueError(f"{PSTREE} belongs into a dump, and only there")
        said = (
            stats.pages_written + stats.shpages_written,
            stats.pages_skipped_parent + stats.shpages_skipped_parent,
        )
        done = (self.pages_written, self.pages_in_parent)
        if said != done:
            raise ValueError(f"the stats say {said} pages were written and left to the parent: {done} were")
        size_bytes = sum(self._files.size_bytes(pages_name(pages_id)) for pages_id in self._open_pages)
        if size_bytes != self.pages_written * PAGE_SIZE:
            raise LinkFailed(
                f"{printable(str(self.path))}: its pages files hold {size_bytes} bytes, not the "
                f"{self.pages_written * PAGE_SIZE} written: something else has changed them"
            )
        return size_bytes

    def erase(self) -> None:
        """Remove what was written while another thread may still write; see `PartialDirectory.erase`."""
        self._files.erase()

    def counted(self, times: DumpStats) -> DumpStats:
        """These statistics, with the pages that are here and left to the parent."""
        return replace(
            times,
            pages_written=self.pages_written,
            pages_skipped_parent=self.pages_in_parent,
            pages_scanned=self.pages_written + self.pages_in_parent,
        )

    def abort(self) -> None:
        """Remove what was written, unless it was committed. Harmless if called again."""
        for pages in self._open_pages.values():
            with suppress(OSError):  # what was written is removed
                pages.close()
        self._files.remove()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was written, unless it was committed."""
        self.abort()


class PagesWriter:
    """Writes the memory of one process; made by `LinkWriter.open_pages`."""

    def __init__(self, link: LinkWriter, name: str, pages_id: int, fd: int) -> None:
        self.pages_id = pages_id
        self.is_finished = False
        self._link = link
        self._name = name
        self._fd = fd
        self._written: list[PageSet] = []
        self._list: PagemapWriter | None = None
        self._list_fd = -1
        self._next_page = 0

    def write(self, buffer: ReadableBuffer, pages: PageSet, lazy: PageSet | None = None) -> None:
        """Append the data of pages that all come after those appended before.

        Args:
            buffer: exactly `pages.size_bytes` of contiguous data, in ascending order of pages; of a NumPy
                array, its `data`.
            pages: which pages these are.
            lazy: which of them a restore may bring in late, if that is known already; then it has to be
                said with every call, nothing can be left to a parent, and no list of pages is kept.

        Raises:
            LinkFailed: the disk would not take it.
        """
        data = memoryview(buffer).cast("B")
        if data.nbytes != pages.size_bytes:
            raise ValueError(f"{data.nbytes} bytes are not the data of {pages.count} pages")
        if not pages:
            return
        if int(pages.starts[0]) < self._next_page:
            raise ValueError("pages have to be written in ascending order")
        with writing(self._link.path / pages_name(self.pages_id), "write pages"):
            write_fully(self._fd, data)
        self._next_page = int(pages.ends[-1])
        self._link.pages_written += pages.count
        if lazy is None:
            self._written.append(pages)
        else:
            self._listing().add(pages, lazy)

    def _listing(self) -> PagemapWriter:
        """The pagemap, begun."""
        if self._list is None:
            self._list_fd = self._link.create(self._name)
            self._list = PagemapWriter(self.pages_id, self._append_to_list)
        return self._list

    def _append_to_list(self, data: bytes) -> None:
        with writing(self._link.path / self._name, "write it"):
            write_fully(self._list_fd, memoryview(data))

    def finish(self, holes: PageSet = EMPTY, lazy: PageSet = EMPTY) -> None:
        """Write the pagemap; the process's memory is then complete.

        Args:
            holes: pages left to the parent. The caller answers for the parent listing each of them.
            lazy: pages that a restore may bring in late; only those with data here count.

        Raises:
            LinkFailed: the disk would not take it.
        """
        if self._list is not None:
            if self._written or holes:
                raise ValueError("what is listed as it is written is all that can be listed")
            self._list.finish()
        else:
            self._write_list(self._name, holes, lazy)
        self.is_finished = True
        with writing(self._link.path / pages_name(self.pages_id), "write pages"):
            self.close()

    def list_for(self, pid: int, holes: PageSet = EMPTY, lazy: PageSet = EMPTY) -> None:
        """Write the pagemap of another process that has just these pages too, in the same places.

        Args:
            pid: as it knows itself.
            holes: as of `finish`, of that process.
            lazy: as of `finish`.

        Raises:
            LinkFailed: the disk would not take it.
        """
        self._write_list(pagemap_name(pid), holes, lazy)

    def _write_list(self, name: str, holes: PageSet, lazy: PageSet) -> None:
        pagemap = PagemapImage.of(self.pages_id, PageSet.union_all(self._written), holes, lazy)
        fd = self._link.create(name)
        with writing(self._link.path / name, "write it"):
            try:
                for piece in pagemap.encoded_pieces():
                    write_fully(fd, memoryview(piece))
            finally:
                os.close(fd)
        self._link.pages_in_parent += holes.count

    def close(self) -> None:
        """Let go of its files. Harmless if called again. Raises OSError: only now did writing fail."""
        list_fd, self._list_fd = self._list_fd, -1
        fd, self._fd = self._fd, -1
        try:
            if list_fd >= 0:
                os.close(list_fd)
        finally:
            if fd >= 0:
                os.close(fd)


def _inventory(dump_uptime_us: int | None) -> InventoryEntry:
    """As of CRIU's pre-dumps: CRIU can build on such a link, and refuses to restore from it."""
    if dump_uptime_us is None:
        raise ValueError("a link of ours has to say when tracking was cleared")
    return InventoryEntry(img_version=0, dump_uptime=dump_uptime_us, pre_dump_mode=_SPLICE_MODE)
