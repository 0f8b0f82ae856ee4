"""Writes a pagemap page by page: pages come in ascending order, and each has its data in this link.

Written entries are not kept in memory, so a link of any size can be made from a chain of any size.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from engine.images.runs import PagemapImage
from engine.pageset import PageSet

_RANGES_AT_ONCE: Final = 1 << 16


class PagemapWriter:
    """One pagemap under way; `finish` completes it."""

    def __init__(self, pages_id: int, write: Callable[[bytes], None]) -> None:
        """Write its beginning.

        Args:
            pages_id: numbers the pages file.
            write: appends to the pagemap's file.
        """
        self._pages_id = pages_id
        self._write = write
        self._present: list[PageSet] = []
        self._lazy: list[PageSet] = []
        self._ranges = 0
        write(PagemapImage.of(pages_id, PageSet()).encode())

    def add(self, present: PageSet, lazy: PageSet) -> None:
        """List pages that all come after those listed before; which of them may be brought in late."""
        self._present.append(present)
        self._lazy.append(lazy)
        self._ranges += present.range_count
        if self._ranges > _RANGES_AT_ONCE:
            self._flush(keep_last=True)

    def finish(self) -> None:
        """Write what is left."""
        self._flush(keep_last=False)

    def _flush(self, *, keep_last: bool) -> None:
        present, lazy = PageSet.union_all(self._present), PageSet.union_all(self._lazy)
        # What comes next may go on where the last run ends.
        end = int(present.starts[-1]) if keep_last else int(present.ends[-1]) if present else 0
        pagemap = PagemapImage.of(self._pages_id, present.clip(0, end), lazy=lazy.clip(0, end))
        for piece in islice(pagemap.encoded_pieces(), 1, None):
            self._write(piece)
        last = int(present.ends[-1]) if present else 0
        self._present, self._lazy = [present.clip(end, last)], [lazy.clip(end, last)]
        self._ranges = self._present[0].range_count
