"""Transparent huge pages: how large one is (Documentation/admin-guide/mm/transhuge.rst).

A huge page has one entry in the page table, and so one soft-dirty bit, for all the pages in it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from engine.pageset import EMPTY, PAGE_SHIFT, PageSet

_SIZE: Final = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
_USUAL_BYTES: Final = 2 << 20


@lru_cache(maxsize=1)
def pages_per_huge_page() -> int:
    """How many pages make a huge page: 512 where they have 4 KiB and 2 MiB."""
    try:
        with open(_SIZE) as file:
            size_bytes = int(file.read())
    except FileNotFoundError:  # a kernel without transparent huge pages
        size_bytes = _USUAL_BYTES
    return size_bytes >> PAGE_SHIFT


def whole_huge_pages(pages: PageSet) -> PageSet:
    """Those of these pages that fill a huge page's place from its first page to its last."""
    unit = pages_per_huge_page()
    starts = -(-pages.starts // unit) * unit
    ends = pages.ends // unit * unit
    whole = starts < ends
    return PageSet(starts[whole], ends[whole]) if whole.any() else EMPTY


def inflation(pages: PageSet) -> int:
    """How many of these pages, all in huge pages, may be there only because their neighbours are.

    At least one page of each huge page was written: the rest may not have been.
    """
    unit = pages_per_huge_page()
    if not pages:
        return 0
    # Two ranges may lie in the same huge page.
    first, last = pages.starts // unit, (pages.ends - 1) // unit
    shared = np.count_nonzero(first[1:] == last[:-1])
    return pages.count - int((last - first + 1).sum() - shared)
