"""Reads the pagemaps of a chain in step: the same pages of all links together, in ascending order.

A chain's pagemaps together may be much larger than memory; what they say about one stretch of addresses
is not. One piece of each file is read at a time, and a stretch ends where the first of these pieces
ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import BadImage, UnknownFormat
from engine.images.pagemap import LEAST_PIECE_BYTES, MOST_PIECE_BYTES, PagemapFile
from engine.images.runs import PagemapImage, joined

_AT_ONCE_BYTES: Final = 32 << 20
"""Of all files of a chain together, a piece of each."""
_AT_ONCE_ENTRIES: Final = 1 << 22
"""Beyond a piece of each file, no more is read ahead than makes so many of all together."""
_END: Final = 1 << 62
"""Beyond every page."""


class PagemapCursor:
    """Where the reading of one pagemap has got to."""

    def __init__(self, path: Path, of: int = 1) -> None:
        """Read its beginning.

        Args:
            path: the file.
            of: how many are read in step with it.

        Raises:
            BadImage, UnknownFormat: as of `PagemapFile`.
        """
        self._file = PagemapFile(path, max(LEAST_PIECE_BYTES, min(MOST_PIECE_BYTES, _AT_ONCE_BYTES // of)))
        self._pieces = self._file.pieces()
        self._read: list[PagemapImage] = []
        """What has been read and not taken."""
        self.pages_id = self._file.pages_id
        self.error: BadImage | None = None
        """Why it could not be read to its end."""
        self.known_until = _END if self._file.is_at_end else 0
        """Page number below which all is known."""

    @property
    def entries(self) -> int:
        """How many have been read and not taken."""
        return sum(len(part.starts) for part in self._read)

    def advance(self) -> None:
        """Read the next piece; if that fails, `error` is set, and there is nothing more.

        Raises:
            UnknownFormat: as of `PagemapFile`.
        """
        try:
            piece = next(self._pieces)
        except UnknownFormat:
            raise
        except BadImage as error:
            self.error, self.known_until = error, _END
            return
        self._read.append(piece)
        self.known_until = _END if self._file.is_at_end else int(piece.ends[-1])

    def take(self, end: int) -> PagemapImage:
        """What it says of the pages below this one, as far as it has not been taken yet."""
        taken = []
        while self._read and self._read[0].starts[0] < end:
            below, rest = _split(self._read.pop(0), end)
            taken.append(below)
            if len(rest.starts):
                self._read.insert(0, rest)
                break
        return joined(self.pages_id, taken)


def windows(cursors: Sequence[PagemapCursor]) -> Iterator[list[PagemapImage]]:
    """What each pagemap says of one stretch of pages, then of the next, and so on to the end of all.

    Args:
        cursors: where nothing has been read yet.

    Raises:
        UnknownFormat: as of `PagemapFile`. What else is wrong with a file is in its cursor's `error`.
    """
    end = 0
    while end < _END:
        _read_on(cursors, end)
        end = min((cursor.known_until for cursor in cursors), default=_END)
        yield [cursor.take(end) for cursor in cursors]


def _read_on(cursors: Sequence[PagemapCursor], end: int) -> None:
    """Read until each cursor knows what comes next, and all know as far as one does, if that is not too much.

    The files of a chain have their pieces at the same places only by chance. Were a stretch to end where
    any piece does, there would be as many as all files have pieces, each of a bit of all files.
    """
    for cursor in cursors:
        if cursor.known_until <= end:
            cursor.advance()
    furthest = max((cursor.known_until for cursor in cursors if cursor.known_until < _END), default=0)
    left = _AT_ONCE_ENTRIES - sum(cursor.entries for cursor in cursors)
    for cursor in cursors:
        while cursor.known_until < furthest and left > 0:
            before = cursor.entries
            cursor.advance()
            left -= cursor.entries - before


def _split(pagemap: PagemapImage, end: int) -> tuple[PagemapImage, PagemapImage]:
    """What is below a page, and the rest; an entry may be in both."""
    low = int(np.searchsorted(pagemap.starts, end))
    high = int(np.searchsorted(pagemap.ends, end, side="right"))
    below = PagemapImage(
        pagemap.pages_id,
        pagemap.starts[:low],
        np.minimum(pagemap.ends[:low], end),
        pagemap.flags[:low],
        pagemap.pages_before,
        pagemap.lacks_old_lengths,
    )
    rest = PagemapImage(
        pagemap.pages_id,
        np.maximum(pagemap.starts[high:], end),
        pagemap.ends[high:],
        pagemap.flags[high:],
        pagemap.pages_before + below.present.count,
        pagemap.lacks_old_lengths,
    )
    return below, rest
