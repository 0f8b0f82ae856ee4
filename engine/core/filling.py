"""Where the pages of a mapping come from that a process does not have of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

from engine.core.process import CoreMapping
from engine.errors import BadImage
from engine.images.link import ImageChain
from engine.images.memory import ChainMemory
from engine.pageset import PAGE_SHIFT, PageSet
from engine.printable import printable

_PIECE_PAGES: Final = (1 << 20) >> PAGE_SHIFT
_MOST_FILES: Final = 512

Filled = Iterator[tuple[PageSet, memoryview]]
"""Pages by address, and their data; what is left out is zeros."""


class Filler(NamedTuple):
    """How to get the pages of a mapping that a process does not have of its own."""

    fill: Callable[[PageSet], Filled]
    """Called with those that are wanted."""
    is_torn: bool = False
    """Whether they are read while the process runs."""


def _zeros(pages: PageSet) -> Filled:
    return iter(())


ZEROS: Final = Filler(_zeros)
"""Of anonymous memory that nothing was written to."""


class Fillers:
    """Finds for each mapping of a link where the rest of it comes from; used with `with`."""

    def __init__(self, chain: ImageChain, root: str = "") -> None:
        """Nothing is opened yet.

        Args:
            chain: the memory of shared objects is in it.
            root: what stands before the names of files: the root directory of the process, say.
        """
        self._chain = chain
        self._root = os.fsencode(root)
        self._made_at_s = chain.links[-1].made_at_s
        self._files: dict[bytes, int | None] = {}
        self._held = ExitStack()

    def of(self, mapping: CoreMapping) -> Filler | None:
        """How to fill a mapping; None if the pages are nowhere to be had."""
        if mapping.object_name:
            return Filler(lambda pages: self._from_object(mapping, pages))
        if mapping.is_of_file:
            fd = self._file(mapping)
            return None if fd is None else Filler(lambda pages: from_file(fd, mapping, pages))
        if mapping.is_shared or mapping.name or mapping.inode:
            return None
        return ZEROS

    def _from_object(self, mapping: CoreMapping, pages: PageSet) -> Filled:
        memory = ChainMemory.named(self._chain, mapping.object_name)
        shift = (mapping.start - mapping.offset) >> PAGE_SHIFT
        inside = PageSet(pages.starts - shift, pages.ends - shift)
        for found, data in memory.read(inside & memory.pages):
            yield PageSet(found.starts + shift, found.ends + shift), data

    def _file(self, mapping: CoreMapping) -> int | None:
        """The mapped file, if it is what it was; it is opened once."""
        if mapping.name not in self._files:
            if len(self._files) >= _MOST_FILES:
                return None
            self._files[mapping.name] = self._open(mapping)
        return self._files[mapping.name]

    def _open(self, mapping: CoreMapping) -> int | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self._root + mapping.name.replace(b"\\012", b"\n"), flags)
        except OSError:  # removed since, or another machine's
            return None
        self._held.callback(os.close, fd)
        status = os.fstat(fd)
        is_same = (
            stat.S_ISREG(status.st_mode)
            and status.st_ctime <= self._made_at_s
            and mapping.inode in (0, status.st_ino)
            and mapping.size_bytes in (None, status.st_size)
        )
        return fd if is_same else None

    def close(self) -> None:
        """Close the files."""
        self._held.close()

    def __enter__(self) -> Fillers:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()


def from_file(fd: int, mapping: CoreMapping, pages: PageSet) -> Filled:
    """Pages of a mapped file; behind its end there are zeros.

    Args:
        fd: the file.
        mapping: of it.
        pages: some of the mapping.

    Raises:
        BadImage: it cannot be read.
    """
    for chunk in pages.chunks(_PIECE_PAGES, 1):
        start = int(chunk.starts[0]) << PAGE_SHIFT
        try:
            data = os.pread(fd, chunk.size_bytes, mapping.offset + start - mapping.start)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise BadImage(f"{printable(mapping.name)}: cannot read this mapped file ({why})") from error
        if data:
            yield chunk, memoryview(data.ljust(chunk.size_bytes, b"\0"))
