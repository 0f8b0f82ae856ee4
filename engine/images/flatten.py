"""Makes one link, with no parent, of a whole chain."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.errors import BadImage
from engine.images.files import open_image, reading, write_fully, writing
from engine.images.layout import INVENTORY, is_image, is_pagemap, is_pages, pagemap_pid
from engine.images.link import Chain, Link
from engine.images.memory import ChainMemory
from engine.images.stats import DumpStats
from engine.images.writer import LinkWriter
from engine.printable import printable
from engine.trust.directory import OpenDirectory

FlattenProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in total; it may raise to end the work, and nothing remains."""

_COPY_BYTES = 1 << 20


def _unheeded(done_bytes: int, total_bytes: int) -> None:
    pass


def flatten(
    chain: Chain, out: Path, progress: FlattenProgress = _unheeded, above: OpenDirectory | None = None
) -> None:
    """Write the memory at the chain's end into a link of its own.

    The other images of the last link are copied unchanged: flattened, a dump of CRIU's can be restored
    as before, and a pre-dump remains one.

    Args:
        chain: a sound one.
        out: the link to be; nothing of this name may exist.
        progress: told after each piece.
        above: the directory that `out` is made in; see `PartialDirectory`.

    Raises:
        NotTrusted: others could exchange the directory.
        BadImage: the chain is not sound after all.
        LinkFailed: `out` could not be written; nothing of it remains.
    """
    last = chain.links[-1]
    if INVENTORY not in last.names:
        raise BadImage(f"{printable(str(last.path))} has no {INVENTORY}")
    memories = {name: ChainMemory.named(chain, name) for name in last.pagemap_names}
    total_bytes = sum(memory.pages.size_bytes for memory in memories.values())
    done_bytes = 0
    with LinkWriter(out, last.kind, above=above) as link:
        for name, memory in memories.items():
            pages = link.open_pagemap(name, last.pagemap_named(name).pages_id)
            for part, data in memory.read():
                pages.write(data, part)
                done_bytes += len(data)
                progress(done_bytes, total_bytes)
            pages.finish(lazy=memory.lazy)
        for name in sorted(last.names):
            if is_image(name) and not (is_pagemap(name) or is_pages(name)):
                _copy(last, name, link)
        link.commit(_stats(last, memories))


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
            os.close(out)


def _stats(last: Link, memories: dict[str, ChainMemory]) -> DumpStats:
    """Those of the last link, but for the pages, all of which are here now."""
    counts = {True: 0, False: 0}
    for name, memory in memories.items():
        counts[pagemap_pid(name) is not None] += memory.pages.count
    return replace(
        last.stats or DumpStats(),
        pages_written=counts[True],
        pages_skipped_parent=0,
        shpages_written=counts[False],
        shpages_skipped_parent=0,
    )
