"""A chain's memory against the stopped target's own, byte for byte, found out by other means than ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from engine.checkpoint.chain import Chain
from engine.checkpoint.link import After
from engine.images.chain import ChainMemory, ImageChain, read_chain, verify
from engine.kernel.maps import Maps, read_maps
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from tests.targets.scripted import ScriptedTarget

_PRESENT, _SWAPPED, _FILE = 63, 62, 61


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def own_pages(pid: int, maps: Maps) -> PageSet:
    """Pages in use of private mappings that are no unmodified file pages, from the plain pagemap."""
    found = []
    with _opened(f"/proc/{pid}/pagemap") as pagemap:
        for first, end in (maps.dumpable - maps.vdso).ranges():
            entries = np.frombuffer(os.pread(pagemap, (end - first) * 8, first * 8), "<u8")
            used = ((entries >> np.uint64(_PRESENT)) | (entries >> np.uint64(_SWAPPED))) & np.uint64(1)
            of_file = (entries >> np.uint64(_FILE)) & np.uint64(1)
            found.append(np.flatnonzero(used & ~of_file & np.uint64(1)) + first)
    return PageSet.from_pages(np.concatenate(found) if found else [])


def differences(chain: ImageChain, pid: int) -> list[str]:
    """In what the chain's end differs from the memory of a stopped process; empty if it does not."""
    maps = read_maps(pid)
    memory = ChainMemory(chain, pid)
    own = own_pages(pid, maps)
    wrong = []
    if memory.pages - maps.pages:
        wrong.append(f"{(memory.pages - maps.pages).count} pages are not even mapped")
    with _opened(f"/proc/{pid}/mem") as real:
        for pages, data in memory.read():
            at = 0
            for first, end in pages.ranges():
                length = (end - first) << PAGE_SHIFT
                if os.pread(real, length, first << PAGE_SHIFT) != bytes(data[at : at + length]):
                    wrong.append(f"{first << PAGE_SHIFT:x}-{end << PAGE_SHIFT:x} differs")
                at += length
        for first, end in (own - memory.pages).ranges():
            for page in range(first, end):
                # The shared zero page need not be saved: what is missing must be zero.
                if os.pread(real, PAGE_SIZE, page << PAGE_SHIFT).count(0) != PAGE_SIZE:
                    wrong.append(f"page {page << PAGE_SHIFT:x} is missing")
    return wrong


def assert_the_end_is_right(chain: Chain, target: ScriptedTarget) -> None:
    """End a chain with a dump, and compare all of it; the target runs on."""
    chain.dump(After.STOP)
    images = read_chain(chain.directory)
    assert verify(images) == ()
    assert differences(images, target.pid) == []
    os.kill(target.pid, signal.SIGCONT)
