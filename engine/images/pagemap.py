"""Reads `pagemap-PID.img` from front to back, in pieces: it may have tens of millions of entries.

Each piece is checked: it is as some version of CRIU writes it, or it is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadImage
from engine.images import limits
from engine.images.files import open_image, reading
from engine.images.framing import (
    LENGTH_BYTES,
    Magic,
    after_header,
    bad,
    cut_short,
    message_length,
    parse,
)
from engine.images.layout import pagemap_pid
from engine.images.pagemap_entries import Columns, UInt64Array, decode_entries, require_known, unknown_entry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.images.runs import PE_LAZY, PE_PARENT, PE_PRESENT, PagemapImage, joined
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, Int64Array
from engine.printable import printable

__all__ = ["PE_LAZY", "PE_PARENT", "PE_PRESENT", "PagemapFile", "PagemapImage", "read_pagemap"]

MOST_PIECE_BYTES: Final = 1 << 20
LEAST_PIECE_BYTES: Final = 2 * limits.PAGEMAP_ENTRY_BYTES
_HEAD_BYTES: Final = 64
"""Beyond what the header and the first message ever take."""
_KNOWN_FLAGS: Final = np.uint64(PE_PARENT | PE_LAZY | PE_PRESENT)


class PagemapFile:
    """A pagemap that is read a piece at a time."""

    def __init__(self, path: Path, piece_bytes: int = MOST_PIECE_BYTES) -> None:
        """Read its beginning.

        Args:
            path: the file; whether it lists memory of a process or a shared object, its name says.
            piece_bytes: how much of it to read at a time, from `LEAST_PIECE_BYTES` on.

        Raises:
            BadImage: there is no such file, it is larger than any pagemap, or it does not begin as one.
            UnknownFormat: it says more than we understand.
        """
        self.path = path
        self._piece_bytes = piece_bytes
        with open_image(path) as fd:
            self._seen = os.fstat(fd)
        bits = limits.OBJECT_SIZE_BITS if pagemap_pid(path.name) is None else limits.USER_ADDRESS_BITS
        self._page_limit = np.uint64(1 << (bits - PAGE_SHIFT))
        if self._seen.st_size > limits.PAGEMAP_BYTES:
            raise BadImage(
                f"{printable(str(path))} has {self._seen.st_size} bytes, and a pagemap never has more "
                f"than {limits.PAGEMAP_BYTES}"
            )
        self.pages_id, self._entries_at = self._read_head()
        self.is_at_end = self._entries_at == self._seen.st_size
        """Whether `pieces` has nothing more to give."""

    def _read(self, offset: int, size_bytes: int) -> bytes:
        # Opened for each piece anew: a chain may have more links than we may have descriptors.
        with open_image(self.path) as fd, reading(self.path):
            if _identity(os.fstat(fd)) != _identity(self._seen):
                raise BadImage(f"{printable(str(self.path))} was changed while it was read")
            return os.pread(fd, size_bytes, offset)

    def _read_head(self) -> tuple[int, int]:
        data = self._read(0, _HEAD_BYTES)
        at = after_header(data, Magic.PAGEMAP, self.path)
        if len(data) == at:
            raise bad(self.path, at, "the file ends before it says where its pages are")
        if len(data) < at + LENGTH_BYTES:
            raise bad(self.path, at, "the file ends within the length of a message")
        length = message_length(data, at)
        begin = at + LENGTH_BYTES
        if length > self._seen.st_size - begin:
            raise cut_short(self.path, at, length, self._seen.st_size - begin)
        if length > len(data) - begin:
            raise unknown_entry(self.path, at, f"a head of {length} bytes")
        head = parse(PagemapHead, data, begin, begin + length, self.path)
        require_known(head, self.path, begin)
        return head.pages_id, begin + length

    def pieces(self) -> Iterator[PagemapImage]:
        """The entries, some tens of thousands at a time; each part knows where its data lies.

        Raises:
            BadImage: the file is damaged, or was changed meanwhile. UnknownFormat: as of `__init__`.
        """
        at, count, after, pages_before = self._entries_at, 0, 0, 0
        while at < self._seen.st_size:
            data = self._read(at, self._piece_bytes)
            bounds = self._bounds(data, at)
            if count + len(bounds) > limits.PAGEMAP_ENTRIES:
                raise bad(self.path, at, f"more than {limits.PAGEMAP_ENTRIES} entries")
            part = self._decode(data, bounds, at, after, pages_before)
            count += len(bounds)
            after = int(part.ends[-1])
            pages_before += part.present.count
            at += int(bounds[-1, 1])
            self.is_at_end = at == self._seen.st_size
            yield part

    def _bounds(self, data: bytes, base: int) -> Int64Array:
        """Where each entry begins and ends that lies wholly in `data`: at least one, shape (n, 2)."""
        at, size, begins = 0, len(data), []
        # Each length says where the next one is: a loop, and a tight one, for there may be many.
        while at + LENGTH_BYTES <= size:
            begins.append(at + LENGTH_BYTES)
            at += LENGTH_BYTES + message_length(data, at)
        ends = [begin - LENGTH_BYTES for begin in begins[1:]]
        if begins and at <= size:
            ends.append(at)
        if not ends:
            raise self._no_entry(data, base)
        return np.array((begins[: len(ends)], ends), np.int64).T

    def _no_entry(self, data: bytes, base: int) -> BadImage:
        """The error for a place where no whole entry follows."""
        if len(data) < LENGTH_BYTES:
            return bad(self.path, base, "the file ends within the length of a message")
        length, left = message_length(data, 0), self._seen.st_size - base - LENGTH_BYTES
        if length > left:
            return cut_short(self.path, base, length, left)
        why = f"an entry of {length} bytes"
        if _has_unknown_field(data[LENGTH_BYTES:]):
            return unknown_entry(self.path, base, why)
        return bad(self.path, base, f"{why}, where some 20 would do")

    def _decode(
        self, data: bytes, bounds: Int64Array, base: int, after: int, pages_before: int
    ) -> PagemapImage:
        columns = decode_entries(data, bounds, self.path, base)
        starts, ends, flags = _normal(columns, self._page_limit)
        strange = flags > _KNOWN_FLAGS
        if strange.any():
            row = int(np.argmax(strange))
            offset = base + int(bounds[row, 0])
            raise unknown_entry(
                self.path, offset, f"flags {int(flags[row]):#x}, of which we know {_KNOWN_FLAGS:#x}"
            )
        for wrong, why in _rules(columns, starts, ends, flags, after, self._page_limit):
            if wrong.any():
                raise bad(self.path, base + int(bounds[int(np.argmax(wrong)), 0]), why)
        return PagemapImage(
            self.pages_id,
            starts.astype(np.int64),
            ends.astype(np.int64),
            flags.astype(np.uint8),
            pages_before,
            lacks_old_lengths=bool((columns.compat_nr_pages == 0).any()),
        )


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_pagemap(path: Path) -> PagemapImage:
    """All of a pagemap at once: some 20 bytes of memory for each entry, as many for each set of its pages.

    Raises:
        BadImage: there is no such file, or it is damaged; the message says where.
        UnknownFormat: it says more than we understand.
    """
    file = PagemapFile(path)
    return joined(file.pages_id, list(file.pieces()))


def _has_unknown_field(data: bytes) -> bool:
    """Whether something that begins as an entry goes on with a field that is none of an entry's."""
    at, known = 0, PagemapEntry.DESCRIPTOR.fields_by_number
    while at < len(data) and (data[at] & 7) == 0 and data[at] >> 3 in known:
        at += 1
        while at < len(data) and data[at] & 0x80:
            at += 1
        at += 1
    return 0 < at < len(data) and data[at] >> 3 not in known and data[at] >> 3 != 0


def _normal(columns: Columns, page_limit: np.uint64) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
    """First pages, end pages and flags, read as CRIU reads what its older versions wrote."""
    flags = columns.flags | (columns.in_parent * np.uint64(PE_PARENT))
    flags = np.where(flags == 0, np.uint64(PE_PRESENT), flags)
    lengths = np.where(columns.has_nr_pages, columns.nr_pages, columns.compat_nr_pages)
    starts = columns.vaddr >> np.uint64(PAGE_SHIFT)
    return starts, starts + np.minimum(lengths, page_limit), flags


def _rules(
    columns: Columns,
    starts: UInt64Array,
    ends: UInt64Array,
    flags: UInt64Array,
    after: int,
    page_limit: np.uint64,
) -> tuple[tuple[NDArray[np.bool_], str], ...]:
    """What no sound entry breaks: for each entry whether it does, and why that is wrong."""
    backwards = starts < np.concatenate(([np.uint64(after)], ends[:-1]))
    both = np.uint64(PE_PARENT | PE_PRESENT)
    compat = columns.compat_nr_pages
    return (
        (columns.vaddr % np.uint64(PAGE_SIZE) != 0, "an address that is no multiple of the page size"),
        (ends == starts, "an entry of no pages"),
        (ends > page_limit, "an entry beyond the end of the address space"),
        (backwards, "the entries are not in ascending order"),
        ((flags & both) == both, "an entry that is both present and left to the parent"),
        # CRIU before 4.2 knows only the one, and would restore something else than later ones.
        (columns.has_nr_pages & (compat != 0) & (compat != columns.nr_pages), "an entry of two lengths"),
    )
