"""The memory at a chain's end: each page from the newest link that has its data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.errors import BadImage
from engine.images.files import open_image, reading
from engine.images.framing import bad
from engine.images.layout import pagemap_name
from engine.images.link import Chain
from engine.images.pagemap import Pagemap
from engine.pageset import EMPTY, PAGE_SHIFT, Int64Array, PageSet
from engine.printable import printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK_PAGES: Final = (8 << 20) >> PAGE_SHIFT


@dataclass(frozen=True, eq=False, slots=True)
class _Layer:
    """What one link contributes."""

    pages_path: Path
    pagemap: Pagemap
    taken: PageSet


class ChainMemory:
    """The memory of one process at the end of a chain."""

    def __init__(self, chain: Chain, pid: int) -> None:
        """Find the link that each page comes from.

        Raises:
            BadImage: the last link does not hold this process, a pagemap is damaged, or a page left
                to a parent is nowhere to be found.
        """
        self._resolve(chain, pagemap_name(pid))

    @classmethod
    def named(cls, chain: Chain, name: str) -> ChainMemory:
        """The same for whatever the pagemap of this file name lists: shared memory, say."""
        made = cls.__new__(cls)
        made._resolve(chain, name)
        return made

    def _resolve(self, chain: Chain, name: str) -> None:
        last = chain.links[-1].pagemap_named(name)
        self.pages = last.covered
        """Every page that the process had."""
        self.lazy = EMPTY
        """Pages that a restore may bring in late."""
        self._layers: list[_Layer] = []
        missing = self.pages
        for link in reversed(chain.links):
            # Only what the younger link calls a hole is looked for here.
            if not missing or name not in link.names:
                break
            pagemap = link.pagemap_named(name)
            taken = missing & pagemap.present
            if taken:
                self._layers.append(_Layer(link.pages_path(pagemap), pagemap, taken))
                self.lazy |= taken & pagemap.lazy
            lost = missing - pagemap.present - pagemap.in_parent
            if lost:
                raise _nowhere(link.path / name, lost)
            missing -= taken
        if missing:
            raise _nowhere(chain.links[-1].path / name, missing)

    def read(self, pages: PageSet | None = None) -> Iterator[tuple[PageSet, memoryview]]:
        """The data of these pages, or of all, in ascending order and pieces of bounded size.

        Each piece is valid until the next one is asked for.

        Args:
            pages: a part of `self.pages`.

        Raises:
            BadImage: a pages file is missing or too short.
        """
        wanted = self.pages if pages is None else pages
        self._check(wanted)
        buffer = memoryview(bytearray(min(wanted.count, _CHUNK_PAGES) << PAGE_SHIFT))
        with ExitStack() as files:
            layers = self._open(wanted, files)
            for chunk in wanted.chunks(_CHUNK_PAGES):
                data = buffer[: chunk.size_bytes]
                _fill(data, chunk, layers)
                yield chunk, data

    def read_into(self, buffer: WriteableBuffer, pages: PageSet) -> None:
        """Fill `buffer`, exactly `pages.size_bytes` long, with the data of these pages.

        Errors as of `read`.
        """
        data = memoryview(buffer).cast("B")
        if data.nbytes != pages.size_bytes:
            raise ValueError(f"{data.nbytes} bytes do not fit the data of {pages.count} pages")
        self._check(pages)
        with ExitStack() as files:
            _fill(data, pages, self._open(pages, files))

    def _check(self, pages: PageSet) -> None:
        if not pages <= self.pages:
            raise ValueError(f"the chain does not hold {pages - self.pages!r}")

    def _open(self, pages: PageSet, files: ExitStack) -> list[tuple[_Layer, int]]:
        """The layers that hold any of these pages, each with a descriptor of its pages file."""
        return [
            (layer, files.enter_context(open_image(layer.pages_path)))
            for layer in self._layers
            if not pages.isdisjoint(layer.taken)
        ]


def _fill(buffer: memoryview, pages: PageSet, layers: list[tuple[_Layer, int]]) -> None:
    for layer, fd in layers:
        part = pages & layer.taken
        pieces = _joined(
            layer.pagemap.file_offsets(part),
            pages.count_below(part.starts) << PAGE_SHIFT,
            (part.ends - part.starts) << PAGE_SHIFT,
        )
        with reading(layer.pages_path):
            for offset, at, size in zip(*(column.tolist() for column in pieces), strict=True):
                _read_fully(fd, buffer[at : at + size], offset, layer.pages_path)


def _joined(
    offsets: Int64Array, at: Int64Array, sizes: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Join pieces that follow each other both in the file and in the buffer."""
    if not len(sizes):
        return offsets, at, sizes
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
