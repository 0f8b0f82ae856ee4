"""Makes a whole chain into one link without a parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.errors import LinkFailed
from engine.images.files import open_image, reading, write_fully, writing
from engine.images.layout import pagemap_pid
from engine.images.link import ImageChain, Link
from engine.images.memory import ChainMemory
from engine.images.pagemap import PagemapFile
from engine.images.stats import DumpStats
from engine.images.verify import require_sound
from engine.images.writer import LinkWriter
from engine.printable import printable
from engine.trust.directory import OpenDirectory

FlattenProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in total; it may raise to end the work, and nothing remains."""

_COPY_BYTES = 1 << 20


def _unheeded(done_bytes: int, total_bytes: int) -> None:
    pass


def flatten(
    chain: ImageChain, out: Path, progress: FlattenProgress = _unheeded, above: OpenDirectory | None = None
) -> None:
    """Write the memory at the chain's end into a link of its own.

    The other images of the last link are copied unchanged: flattened, a dump of CRIU's can be restored
    as before, and a pre-dump remains one.

    Args:
        chain: what to join; whether it is sound is seen first.
        out: the link to be; nothing of this name may exist.
        progress: told after each piece.
        above: the directory that `out` is made in; see `PartialDirectory`.

    Raises:
        NotTrusted: others could exchange the directory.
        BadImage: the chain is not sound. UnknownFormat: it is newer than what we understand.
        LinkFailed: `out` could not be written, or there is no room for it; nothing of it remains.
    """
    total_bytes = require_sound(chain).size_bytes
    last = chain.links[-1]
    copied = last.other_names
    done_bytes = 0
    counts = {True: 0, False: 0}
    with LinkWriter(out, last.kind, above=above) as link:
        _require_room(link, total_bytes + sum(_size_bytes(last, name) for name in copied))
        for name in last.pagemap_names:
            pages = link.open_pagemap(name, PagemapFile(last.path / name).pages_id)
            for piece in ChainMemory.named(chain, name).pieces():
                pages.write(piece.data, piece.pages, piece.lazy)
                counts[pagemap_pid(name) is not None] += piece.pages.count
                done_bytes += len(piece.data)
                progress(done_bytes, total_bytes)
            pages.finish()
        for name in copied:
            _copy(last, name, link)
        link.commit(_stats(last, counts))


def _size_bytes(link: Link, name: str) -> int:
    with open_image(link.path / name) as fd:
        return os.fstat(fd).st_size


def _require_room(link: LinkWriter, size_bytes: int) -> None:
    """Say at once what would be found out after hours: a pages file may be sparse, and stand for any size."""
    with link.reading() as place, writing(link.path, "see how much room there is"):
        space = os.statvfs(place)
    free_bytes = space.f_bavail * space.f_frsize
    if size_bytes > free_bytes:
        raise LinkFailed(
            f"{printable(str(link.path))}: {size_bytes} bytes are to be written, and {free_bytes} are free",
            hint="make room, or choose another directory",
        )


def _copy(source: Link, name: str, target: LinkWriter) -> None:
    with open_image(source.path / name) as fd:
        out = target.create(name)
        try:
            while True:
                with reading(source.path / name):
                    data = os.read(fd, _COPY_BYTES)
                if not data:
                    return
                with writing(target.path / name, "write it"):
                    write_fully(out, memoryview(data))
        finally:
            with writing(target.path / name, "write it"):
                os.close(out)


def _stats(last: Link, counts: dict[bool, int]) -> DumpStats:
    """Those of the last link, but for the pages: all are here now, those of processes and the others."""
    return replace(
        last.stats or DumpStats(),
        pages_written=counts[True],
        pages_skipped_parent=0,
        shpages_written=counts[False],
        shpages_skipped_parent=0,
    )
