"""Puts pages into a dump that CRIU made without them.

A dump with lazy pages (criu/mem.c, criu/page-xfer.c) holds the data of what can only be saved by CRIU. All
other memory it just lists, as `PE_LAZY` alone: a server was to hand that out. Or it does not list it
either, because it was told nothing of it. Here such a dump becomes one that stock `criu restore` takes:
every page gets its data, or is left to the parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from engine.errors import LinkFailed
from engine.images.files import open_image, writing
from engine.images.framing import bad
from engine.images.layout import pages_name
from engine.images.pagemap import PagemapImage, read_pagemap
from engine.images.partial import PartialDirectory
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.printable import printable

WriteSaved = Callable[[int, PageSet], None]
"""Writes the data of some of the saved pages, in ascending order, to a descriptor."""

_NEW: Final = "spliced.img"
_BEYOND: Final = 1 << 62


def splice(
    images: PartialDirectory,
    name: str,
    saved: PageSet,
    write_saved: WriteSaved,
    holes: PageSet,
    *,
    unlisted: PageSet = EMPTY,
    unlisted_lazy: PageSet = EMPTY,
) -> PagemapImage:
    """Give the pages that one pagemap only promises their data, or leave them to the parent.

    What the dump holds already stays as it is, in its order.

    Args:
        images: the dump, not yet published.
        name: the pagemap's file.
        saved: pages whose data `write_saved` has.
        write_saved: called with ascending parts of `saved`, all of which it gets.
        holes: pages that the parent lists and that have not changed since.
        unlisted: pages among these that the dump does not even promise.
        unlisted_lazy: which of them a restore may bring in late.

    Returns:
        The pagemap as it is now.

    Raises:
        BadImage: the dump is damaged.
        LinkFailed: the disk would not take it, or a page is in neither set.
    """
    with images.reading() as place:
        theirs = read_pagemap(place / name)
    promised = theirs.promised | unlisted
    if promised != saved | holes:
        nowhere = promised - saved - holes
        raise LinkFailed(
            f"{printable(str(images.path / name))}: {nowhere.count} pages are neither saved nor in the parent"
        )
    if saved:
        _interleave(images, theirs, saved, write_saved)
    present = theirs.present | saved
    ours = PagemapImage.of(theirs.pages_id, present, theirs.in_parent | holes, theirs.lazy | unlisted_lazy)
    images.write(_NEW, ours.encode())
    images.replace(_NEW, name)
    return ours


def _interleave(
    images: PartialDirectory, theirs: PagemapImage, saved: PageSet, write_saved: WriteSaved
) -> None:
    """Make a new pages file of CRIU's and the saved pages, ascending, in place of CRIU's."""
    name = pages_name(theirs.pages_id)
    fd = images.create(_NEW)
    try:
        after = 0
        if theirs.present:
            with images.reading() as place, open_image(place / name) as source:
                offset = 0
                for first, end in theirs.present.ranges():
                    with writing(images.path / name, "write pages"):
                        write_saved(fd, saved.clip(after, first))
                    length = (end - first) << PAGE_SHIFT
                    _copy(images, name, source, fd, offset, length)
                    offset += length
                    after = end
        with writing(images.path / name, "write pages"):
            write_saved(fd, saved.clip(after, _BEYOND))
    finally:
        with writing(images.path / name, "write pages"):  # some file systems write only then
            os.close(fd)
    images.replace(_NEW, name)


def _copy(images: PartialDirectory, name: str, source: int, fd: int, offset: int, length: int) -> None:
    end = offset + length
    with writing(images.path / name, "write pages"):
        while offset < end:
            copied = os.sendfile(fd, source, offset, end - offset)
            if not copied:
                raise bad(
                    images.path / name, offset, f"the file ends where {end - offset} more bytes should be"
                )
            offset += copied
