"""The memory at a chain's end: each page from the newest link that has its data.

It is found and read one stretch of addresses at a time (`windows`), so neither the memory nor the lists
of its pages have to fit into our memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from engine.errors import BadImage
from engine.images.files import open_image, reading
from engine.images.framing import bad
from engine.images.layout import pagemap_name, pages_name
from engine.images.link import ImageChain
from engine.images.pagemap import PagemapImage
from engine.images.windows import PagemapCursor, windows
from engine.pageset import EMPTY, PAGE_SHIFT, Int64Array, PageSet
from engine.printable import printable

_CHUNK_PAGES: Final = (8 << 20) >> PAGE_SHIFT


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one link contributes to a stretch."""

    pages_path: Path
    pagemap: PagemapImage
    taken: PageSet


class _Stretch(NamedTuple):
    """Some of the memory, and where it is."""

    pages: PageSet
    lazy: PageSet
    layers: tuple[_Layer, ...]


class Piece(NamedTuple):
    """The data of some pages."""

    pages: PageSet
    lazy: PageSet
    """Which of them a restore may bring in late."""
    data: memoryview
    """Valid until the next piece is asked for."""


class ChainMemory:
    """The memory of one process, or of one piece of shared memory, at the end of a chain."""

    def __init__(self, chain: ImageChain, pid: int) -> None:
        """Nothing is read before it is asked for.

        Args:
            chain: what holds it.
            pid: the process, as it knows itself.

        Raises:
            BadImage: the last link does not hold this process.
        """
        self._begin(chain, pagemap_name(pid))

    @classmethod
    def named(cls, chain: ImageChain, name: str) -> ChainMemory:
        """The same for whatever the pagemap of this file name lists: shared memory, say."""
        made = cls.__new__(cls)
        made._begin(chain, name)
        return made

    def _begin(self, chain: ImageChain, name: str) -> None:
        if name not in chain.links[-1].names:
            raise BadImage(f"{printable(str(chain.links[-1].path / name))} is missing")
        # The newest first. Only what a younger link calls a hole is looked for in an older one.
        self._paths = [chain.links[-1].path]
        for at in range(len(chain.links) - 2, -1, -1):
            if name not in chain.links[at].names:
                break
            self._paths.append(chain.links[at].path)
        self._name = name

    @cached_property
    def pages(self) -> PageSet:
        """Every page that there is.

        Raises:
            BadImage: a pagemap is damaged, or a page left to a parent is nowhere to be found.
            UnknownFormat: a pagemap says more than we understand.
        """
        return PageSet.union_all(stretch.pages for stretch in self._stretches())

    @cached_property
    def lazy(self) -> PageSet:
        """Pages that a restore may bring in late. Errors as of `pages`."""
        return PageSet.union_all(stretch.lazy for stretch in self._stretches())

    def read(self, pages: PageSet | None = None) -> Iterator[tuple[PageSet, memoryview]]:
        """The data of these pages, or of all, in ascending order and pieces of bounded size.

        Each piece is valid until the next one is asked for.

        Args:
            pages: a part of `self.pages`.

        Raises:
            BadImage: a pages file is missing or too short, or as of `pages`.
        """
        if pages is not None and not pages <= self.pages:
            raise ValueError(f"the chain does not hold {pages - self.pages!r}")
        for piece in self.pieces(pages):
            yield piece.pages, piece.data

    def pieces(self, pages: PageSet | None = None) -> Iterator[Piece]:
        """The same, with what a restore may bring in late. Errors as of `read`."""
        buffer = memoryview(b"")
        for stretch in self._stretches():
            wanted = stretch.pages if pages is None else stretch.pages & pages
            size_bytes = min(wanted.count, _CHUNK_PAGES) << PAGE_SHIFT
            if size_bytes > len(buffer):
                buffer = memoryview(bytearray(size_bytes))
            for chunk in wanted.chunks(_CHUNK_PAGES):
                data = buffer[: chunk.size_bytes]
                for layer in stretch.layers:
                    _fill(data, chunk, layer)
                yield Piece(chunk, chunk & stretch.lazy, data)

    def _stretches(self) -> Iterator[_Stretch]:
        cursors = [PagemapCursor(path / self._name, of=len(self._paths)) for path in self._paths]
        for parts in windows(cursors):
            for cursor in cursors:
                if cursor.error is not None:
                    raise cursor.error
            stretch = self._resolve(parts)
            if stretch.pages:
                yield stretch

    def _resolve(self, parts: list[PagemapImage]) -> _Stretch:
        """Where each page of a stretch comes from."""
        missing, lazy, layers = parts[0].covered, EMPTY, []
        for path, part in zip(self._paths, parts, strict=True):
            taken = missing & part.present
            if taken:
                layers.append(_Layer(path / pages_name(part.pages_id), part, taken))
                lazy |= taken & part.lazy
            if lost := missing - part.present - part.in_parent:
                raise _nowhere(path / self._name, lost)
            missing -= taken
        if missing:
            raise _nowhere(self._paths[0] / self._name, missing)
        return _Stretch(parts[0].covered, lazy, tuple(layers))


def _fill(buffer: memoryview, pages: PageSet, layer: _Layer) -> None:
    """Put the data of those of these pages that a layer has into their places."""
    part = pages & layer.taken
    if not part:
        return
    pieces = _joined(
        layer.pagemap.file_offsets(part),
        pages.count_below(part.starts) << PAGE_SHIFT,
        (part.ends - part.starts) << PAGE_SHIFT,
    )
    with open_image(layer.pages_path) as fd, reading(layer.pages_path):
        for offset, at, size in zip(*(column.tolist() for column in pieces), strict=True):
            _read_fully(fd, buffer[at : at + size], offset, layer.pages_path)


def _joined(
    offsets: Int64Array, at: Int64Array, sizes: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Join pieces that follow each other both in the file and in the buffer."""
    ends = np.cumsum(sizes)
    begins = np.ones(len(sizes), np.bool_)
    begins[1:] = (np.diff(offsets) != sizes[:-1]) | (np.diff(at) != sizes[:-1])
    first = np.flatnonzero(begins)
    before = (ends - sizes)[first]
    return offsets[first], at[first], np.diff(before, append=ends[-1])


def _read_fully(fd: int, view: memoryview, offset: int, path: Path) -> None:
    while True:
        got = os.preadv(fd, (view,), offset)
        if got == len(view):
            return
        if not got:
            raise bad(path, offset, f"the file ends where {len(view)} more bytes of pages should be")
        view = view[got:]
        offset += got


def _nowhere(path: Path, pages: PageSet) -> BadImage:
    first = int(pages.starts[0]) << PAGE_SHIFT
    return BadImage(
        f"{printable(str(path))}: pages left to a parent that does not have them: "
        f"{pages.count}, the first at {first:#x}"
    )
