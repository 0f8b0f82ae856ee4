"""Makes pagemaps that CRIU 4.2 or later has written readable for older ones.

Since 4.2 CRIU writes the length of each run of pages into a field of 64 bits, and zero into the one of
32 that there was before (criu/pagemap.c). To an older CRIU such a pagemap is one of empty runs. It then
either fails or, for shared memory and memfds, restores zeros with exit code 0. With both fields filled
every version reads it.
"""

from __future__ import annotations

import os
from typing import Final

from engine.images.files import reading
from engine.images.layout import is_pagemap
from engine.images.pagemap import PagemapFile, read_pagemap
from engine.images.partial import PartialDirectory

_NEW: Final = "lengths.img"


def fill_old_lengths(images: PartialDirectory) -> None:
    """Rewrite each pagemap of a link under way whose lengths only newer CRIUs read. It lists the same then.

    Raises:
        BadImage: a pagemap is damaged. UnknownFormat: it says more than we understand.
        LinkFailed: the disk would not take it.
    """
    with images.reading() as place:
        with reading(place):
            names = sorted(filter(is_pagemap, os.listdir(place)))
        for name in names:
            # One CRIU has written all of it: what begins in one way goes on so.
            first = next(PagemapFile(place / name).pieces(), None)
            if first is not None and first.lacks_old_lengths:
                images.write(_NEW, read_pagemap(place / name).encode())
                images.replace(_NEW, name)
