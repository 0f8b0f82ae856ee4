"""Reads the pagemaps of a chain in step: the same pages of all links at a time, ascending.

A chain's pagemaps together may be much larger than memory; what they say of one stretch of addresses is
not. Each stretch ends where the first of the pieces that were read of each file ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import BadImage, UnknownFormat
from engine.images.pagemap import LEAST_PIECE_BYTES, MOST_PIECE_BYTES, Pagemap, PagemapFile

_AT_ONCE_BYTES: Final = 64 << 20
"""Of all files of a chain together."""
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
        file = PagemapFile(path, max(LEAST_PIECE_BYTES, min(MOST_PIECE_BYTES, _AT_ONCE_BYTES // of)))
        self.path = path
        self.pages_id = file.pages_id
        self.error: BadImage | None = None
        """Why it could not be read to its end."""
        self._pieces = file.pieces()
        self._left = self._nothing()
        self.known_until = 0
        """Page number below which all is known."""

    def _nothing(self) -> Pagemap:
        return Pagemap(self.pages_id, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))

    def advance(self) -> None:
        """Read the next piece; if that fails, `error` is set, and there is nothing more.

        Raises:
            UnknownFormat: as of `PagemapFile`.
        """
        try:
            piece = next(self._pieces, None)
        except UnknownFormat:
            raise
        except BadImage as error:
            self.error, piece = error, None
        self._left = self._nothing() if piece is None else piece
        self.known_until = _END if piece is None else int(piece.ends[-1])

    def take(self, end: int) -> Pagemap:
        """What it says of the pages below this one, as far as it has not been taken yet."""
        taken, self._left = _split(self._left, end)
        return taken


def windows(cursors: Sequence[PagemapCursor]) -> Iterator[tuple[Pagemap, ...]]:
    """What each pagemap says of one stretch of pages, then of the next, and so on to the end of all.

    Args:
        cursors: where nothing has been read yet.

    Raises:
        UnknownFormat: as of `PagemapFile`. What else is wrong with a file is in its cursor's `error`.
    """
    end = 0
    while end < _END:
        for cursor in cursors:
            if cursor.known_until <= end:
                cursor.advance()
        end = min((cursor.known_until for cursor in cursors), default=_END)
        yield tuple(cursor.take(end) for cursor in cursors)


def _split(pagemap: Pagemap, end: int) -> tuple[Pagemap, Pagemap]:
    """What is below a page, and the rest; an entry may be in both."""
    low = int(np.searchsorted(pagemap.starts, end))
    if low == len(pagemap.starts) and (not low or pagemap.ends[-1] <= end):
        return pagemap, Pagemap(pagemap.pages_id, pagemap.starts[:0], pagemap.ends[:0], pagemap.flags[:0])
    high = int(np.searchsorted(pagemap.ends, end, side="right"))
    below = Pagemap(
        pagemap.pages_id,
        pagemap.starts[:low],
        np.minimum(pagemap.ends[:low], end),
        pagemap.flags[:low],
        pagemap.pages_before,
        pagemap.lacks_old_lengths,
    )
    rest = Pagemap(
        pagemap.pages_id,
        np.maximum(pagemap.starts[high:], end),
        pagemap.ends[high:],
        pagemap.flags[high:],
        pagemap.pages_before + below.present.count,
        pagemap.lacks_old_lengths,
    )
    return below, rest
