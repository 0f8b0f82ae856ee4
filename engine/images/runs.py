"""The content of a pagemap: which pages a link holds, and which it leaves to its parent, as runs.

The data of all runs with `PE_PRESENT` lies in `pages-<pages_id>.img`, end to end in their order
(criu/pagemap.c). `pagemap` reads the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import LinkFailed
from engine.images import limits
from engine.images.framing import Magic, pack
from engine.images.pagemap_entries import encode_entries
from engine.images.proto.pagemap_pb2 import PagemapHead
from engine.pageset import EMPTY, PAGE_SHIFT, Int64Array, PageSet

UInt8Array = NDArray[np.uint8]

PE_PARENT: Final = 1
"""A hole: the page is as in the parent."""
PE_LAZY: Final = 2
"""A restore may bring it in late; without `PE_PRESENT`, a server of lazy pages was to have it."""
PE_PRESENT: Final = 4
"""Its data is in this link."""

# One of the two fields for the length has only 32 bits.
_LONGEST_RUN: Final = 2**32 - 1
_NO_PAGES: Final = np.zeros(0, np.int64)
_NO_FLAGS: Final = np.zeros(0, np.uint8)
_ENTRIES_AT_ONCE: Final = 1 << 16


@dataclass(frozen=True, eq=False)
class PagemapImage:
    """The entries of one pagemap, or of a part of one, ascending and disjoint, one row each."""

    pages_id: int
    """The data is in `pages-<pages_id>.img`."""
    starts: Int64Array
    """First page number of each entry."""
    ends: Int64Array
    """Page number after its last."""
    flags: UInt8Array
    """`PE_PARENT`, `PE_LAZY`, `PE_PRESENT`."""
    pages_before: int = 0
    """The data of how many pages lies before that of these entries, in the pages file: 0 but for a part."""
    lacks_old_lengths: bool = False
    """Whether CRIU before 4.2 would take entries for empty, having been read from a file of a newer one."""

    @classmethod
    def of(
        cls, pages_id: int, present: PageSet, holes: PageSet = EMPTY, lazy: PageSet = EMPTY
    ) -> PagemapImage:
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
        flags = np.concatenate([np.full(part.range_count, flag, np.uint8) for part, flag in parts])
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

    @property
    def promised(self) -> PageSet:
        """What is listed and had nowhere: a server of lazy pages was to have it."""
        return self._where((self.flags & (PE_PRESENT | PE_PARENT)) == 0)

    def _where(self, chosen: NDArray[np.bool_]) -> PageSet:
        return PageSet(self.starts[chosen], self.ends[chosen])

    def file_offsets(self, pages: PageSet) -> Int64Array:
        """Where in the pages file each range of `pages`, a part of `present`, begins, in bytes.

        The data of one range lies in one piece.
        """
        return (self.present.count_below(pages.starts) + self.pages_before) << PAGE_SHIFT

    def encode(self) -> bytes:
        """The whole file. Both fields for the length are filled, so that every CRIU can read it."""
        return b"".join(self.encoded_pieces())

    def encoded_pieces(self) -> Iterator[bytes]:
        """The same in pieces of a few MiB.

        Raises:
            LinkFailed: it would be larger than any that is read.
        """
        if len(self.starts) > limits.PAGEMAP_ENTRIES:
            raise LinkFailed(
                f"{len(self.starts)} separate runs of pages: no image has more than {limits.PAGEMAP_ENTRIES}"
            )
        yield pack(Magic.PAGEMAP, [PagemapHead(pages_id=self.pages_id)])
        for at in range(0, len(self.starts), _ENTRIES_AT_ONCE):
            yield self._encoded(slice(at, at + _ENTRIES_AT_ONCE))

    def _encoded(self, rows: slice) -> bytes:
        # What is read from a file of CRIU 4.2 may have longer runs than the older field holds.
        starts, ends, flags = _split_long(self.starts[rows], self.ends[rows], self.flags[rows])
        return encode_entries(
            starts.astype(np.uint64) << np.uint64(PAGE_SHIFT),
            (ends - starts).astype(np.uint64),
            flags.astype(np.uint64),
        )


def joined(pages_id: int, parts: Sequence[PagemapImage]) -> PagemapImage:
    """One of parts that follow each other."""
    if len(parts) == 1:
        return parts[0]
    return PagemapImage(
        pages_id,
        np.concatenate([_NO_PAGES, *(part.starts for part in parts)]),
        np.concatenate([_NO_PAGES, *(part.ends for part in parts)]),
        np.concatenate([_NO_FLAGS, *(part.flags for part in parts)]),
        parts[0].pages_before if parts else 0,
        any(part.lacks_old_lengths for part in parts),
    )


def _split_long(
    starts: Int64Array, ends: Int64Array, flags: UInt8Array
) -> tuple[Int64Array, Int64Array, UInt8Array]:
    """Cut entries to a length that fits either field."""
    pieces = -(-(ends - starts) // _LONGEST_RUN)
    if (pieces == 1).all():
        return starts, ends, flags
    row = np.repeat(np.arange(len(starts)), pieces)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = starts[row] + nth * _LONGEST_RUN
    return cut, np.minimum(cut + _LONGEST_RUN, ends[row]), flags[row]
