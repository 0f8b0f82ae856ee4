"""How many pages the images of a link list: what CRIU would have counted, had it told."""

from __future__ import annotations

import os

from engine.checkpoint.criu.directory import CriuDirectory
from engine.images.layout import is_pagemap, pagemap_pid
from engine.images.pagemap import read_pagemap
from engine.images.stats import DumpStats


def count_pages(directory: CriuDirectory) -> DumpStats:
    """What the pagemaps list; times they do not tell.

    Raises:
        BadImage: one is damaged.
    """
    written = {True: 0, False: 0}
    in_parent = {True: 0, False: 0}
    for name in filter(is_pagemap, os.listdir(directory.fileno())):
        with directory.reading() as place:
            pagemap = read_pagemap(place / name)
        of_process = pagemap_pid(name) is not None
        written[of_process] += pagemap.present.count
        in_parent[of_process] += pagemap.in_parent.count
    return DumpStats(
        pages_written=written[True],
        pages_skipped_parent=in_parent[True],
        shpages_written=written[False],
        shpages_skipped_parent=in_parent[False],
    )
