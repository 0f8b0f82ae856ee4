"""`pagemap-PID.img`: which pages a link holds, and which it leaves to its parent.

The data of all entries with `PE_PRESENT` lies in `pages-<pages_id>.img`, end to end in the order of
the entries (criu/pagemap.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.images.files import read_image
from engine.images.framing import Magic, bad, pack, parse, payload_bounds
from engine.images.pagemap_entries import Columns, decode_entries, encode_entries
from engine.images.proto.pagemap_pb2 import PagemapHead
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, Int64Array, PageSet

PE_PARENT: Final = 1
"""A hole: the page is as in the parent."""
PE_LAZY: Final = 2
"""A restore may bring it in late; without `PE_PRESENT`, a server of lazy pages was to have it."""
PE_PRESENT: Final = 4
"""Its data is in this link."""

# One of the two fields for the length has only 32 bits.
_LONGEST_RUN: Final = 2**32 - 1
_PAGE_LIMIT: Final = np.uint64(1 << (64 - PAGE_SHIFT))


@dataclass(frozen=True, eq=False)
class Pagemap:
    """The entries of one pagemap, ascending and disjoint, one row each."""

    pages_id: int
    """The data is in `pages-<pages_id>.img`."""
    starts: Int64Array
    """First page number of each entry."""
    ends: Int64Array
    """Page number after its last."""
    flags: Int64Array
    """`PE_PARENT`, `PE_LAZY`, `PE_PRESENT`."""

    @classmethod
    def of(cls, pages_id: int, present: PageSet, holes: PageSet = EMPTY, lazy: PageSet = EMPTY) -> Pagemap:
        """Lay out a link's pages.

        Args:
            pages_id: which pages file holds the data.
            present: pages with data in this link.
            holes: pages left to the parent; none of them is in `present`.
            lazy: which of `present` a restore may bring in late.
        """
        if not present.isdisjoint(holes):
            raise ValueError("a page cannot both be present and be left to the parent")
        parts = (
            (present & lazy, PE_PRESENT | PE_LAZY),
            (present - lazy, PE_PRESENT),
            (holes, PE_PARENT),
        )
        starts = np.concatenate([part.starts for part, _ in parts])
        ends = np.concatenate([part.ends for part, _ in parts])
        flags = np.concatenate([np.full(part.range_count, flag, np.int64) for part, flag in parts])
        order = np.argsort(starts)
        return cls(pages_id, *_split_long(starts[order], ends[order], flags[order]))

    @cached_property
    def covered(self) -> PageSet:
        """Every page that is listed at all."""
        return PageSet(self.starts, self.ends)

    @cached_property
    def present(self) -> PageSet:
        """Pages with data in this link."""
        return self._where((self.flags & PE_PRESENT) != 0)

    @cached_property
    def in_parent(self) -> PageSet:
        """Holes: pages that the parent has."""
        return self._where((self.flags & PE_PARENT) != 0)

    @cached_property
    def lazy(self) -> PageSet:
        """Pages that a restore may bring in late."""
        return self._where((self.flags & PE_LAZY) != 0)

    def _where(self, chosen: NDArray[np.bool_]) -> PageSet:
        return PageSet(self.starts[chosen], self.ends[chosen])

    def file_offsets(self, pages: PageSet) -> Int64Array:
        """Where in the pages file each range of `pages`, a part of `present`, begins, in bytes.

        The data of one range lies in one piece.
        """
        return self.present.count_below(pages.starts) << PAGE_SHIFT

    def encode(self) -> bytes:
        """The whole file. Both fields for the length are filled, so that every CRIU can read it."""
        return pack(Magic.PAGEMAP, [PagemapHead(pages_id=self.pages_id)]) + encode_entries(
            self.starts.astype(np.uint64) << np.uint64(PAGE_SHIFT),
            (self.ends - self.starts).astype(np.uint64),
            self.flags.astype(np.uint64),
        )

    @classmethod
    def decode(cls, data: bytes, path: Path) -> Pagemap:
        """Read a whole file, as any version of CRIU has written it.

        Raises:
            BadImage: it is damaged; the message names `path` and where.
        """
        bounds = payload_bounds(data, Magic.PAGEMAP, path)
        if not len(bounds):
            raise bad(path, len(data), "the file ends before it says where its pages are")
        head = parse(PagemapHead, data, int(bounds[0, 0]), int(bounds[0, 1]), path)
        columns = decode_entries(data, bounds[1:], path)
        starts, ends, flags = _normal(columns)
        for wrong, why in _rules(columns, starts, ends, flags):
            if wrong.any():
                raise bad(path, int(bounds[1 + int(np.argmax(wrong)), 0]), why)
        return cls(head.pages_id, starts.astype(np.int64), ends.astype(np.int64), flags.astype(np.int64))


def read_pagemap(path: Path) -> Pagemap:
    """Read a pagemap. Errors as of `Pagemap.decode`, and `BadImage` if there is no such file."""
    return Pagemap.decode(read_image(path), path)


def _split_long(
    starts: Int64Array, ends: Int64Array, flags: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Cut entries to a length that fits either field."""
    pieces = -(-(ends - starts) // _LONGEST_RUN)
    if (pieces == 1).all():
        return starts, ends, flags
    row = np.repeat(np.arange(len(starts)), pieces)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = starts[row] + nth * _LONGEST_RUN
    return cut, np.minimum(cut + _LONGEST_RUN, ends[row]), flags[row]


def _normal(columns: Columns) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """First pages, end pages and flags, read as CRIU reads what its older versions wrote."""
    flags = columns.flags | (columns.in_parent * np.uint64(PE_PARENT))
    flags = np.where(flags == 0, np.uint64(PE_PRESENT), flags)
    lengths = np.where(columns.nr_pages == 0, columns.compat_nr_pages, columns.nr_pages)
    starts = columns.vaddr >> np.uint64(PAGE_SHIFT)
    return starts, starts + np.minimum(lengths, _PAGE_LIMIT), flags


def _rules(
    columns: Columns, starts: NDArray[np.uint64], ends: NDArray[np.uint64], flags: NDArray[np.uint64]
) -> tuple[tuple[NDArray[np.bool_], str], ...]:
    """What no sound entry breaks: for each entry whether it does, and why that is wrong."""
    backwards = np.zeros(len(starts), np.bool_)
    backwards[1:] = starts[1:] < ends[:-1]
    both = np.uint64(PE_PARENT | PE_PRESENT)
    return (
        (columns.vaddr % np.uint64(PAGE_SIZE) != 0, "an address that is no multiple of the page size"),
        (ends == starts, "an entry of no pages"),
        (ends > _PAGE_LIMIT, "an entry beyond the end of the address space"),
        (backwards, "the entries are not in ascending order"),
        ((flags & both) == both, "an entry that is both present and left to the parent"),
    )
