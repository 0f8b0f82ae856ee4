"""What it costs to leave memory as it is while copying it, against copying it without a thought."""

from __future__ import annotations

import ctypes
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from engine.checkpoint.copying import CHUNK_BYTES
from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.kernel.libc import libc
from engine.kernel.memory import MOST_RANGES, PageBuffer, TargetMemory
from engine.kernel.relatives import Relatives
from engine.kernel.urgency import urgent
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from engine.tracking.session import Session
from tests.bench.figure import Figure
from tests.known import known
from tests.targets.frames import pss_kib
from tests.targets.scripted import ScriptedTarget

_PAGES = (1 << 30) // PAGE_SIZE
_RUNS = 15
_TREE_PAGES = (128 << 20) // PAGE_SIZE
_TREE_RUNS = 5

_Read = Callable[[PageSet, PageBuffer, int], object]


def measure() -> Iterator[Figure]:
    """Every figure of copying."""
    buffer = PageBuffer(_PAGES * PAGE_SIZE)
    with ScriptedTarget(pages=16) as target:
        base = target.map(_PAGES)
        target.touch(base, _PAGES)
        first = base >> PAGE_SHIFT
        together = PageSet([first], [first + _PAGES])
        apart = PageSet.from_pages(first + np.arange(0, _PAGES, 2))
        for what, pages in (("1 GiB", together), ("every other page of 1 GiB", apart)):
            yield _side_by_side(target.pid, pages, buffer, f"copying {what}, unshared, stopped", 1.05)
            yield _side_by_side(target.pid, pages, buffer, f"copying {what}, unshared, running", 1.15)
        target.fork()
        for what, pages in (("1 GiB", together), ("every other page of 1 GiB", apart)):
            yield _shared(target.pid, pages, buffer, f"copying {what}, shared with a child, stopped")
    yield from _links_of_a_tree()


def _side_by_side(pid: int, pages: PageSet, buffer: PageBuffer, name: str, reach: float) -> Figure:
    """Of one that runs it is looked what is still there, and whether it has forked; the other way does not.

    Each run reads both ways, and the other one first than before: the machine's moods are for both."""
    with ExitStack() as held:
        memory = _opened(held, pid, is_stopped=name.endswith("stopped"))
        pairs = []
        for run in range(_RUNS):
            ways: list[_Read] = [memory.read, _pinning(pid)]
            took = {way: _duration_ms(way, pages, buffer) for way in (ways if run % 2 else ways[::-1])}
            pairs.append((took[ways[0]], took[ways[1]]))
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    return Figure(
        name, ratio, "×", reach, "lower", _RUNS,
        f"{ours:.0f} ms, without a thought {bare:.0f} ms",
    )  # fmt: skip


def _shared(pid: int, pages: PageSet, buffer: PageBuffer, name: str) -> Figure:
    with ExitStack() as held:
        memory = _opened(held, pid, is_stopped=True)
        took = [_duration_ms(memory.read, pages, buffer) for _ in range(_RUNS)]
    return Figure(name, statistics.median(took), "ms", 600, "lower", _RUNS, "nothing of it is copied")


def _links_of_a_tree() -> Iterator[Figure]:
    """A parent of 128 MiB and four children who have all of it too."""
    with ScriptedTarget(pages=16) as target, tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as name:
        base = target.map(_TREE_PAGES)
        target.touch(base, _TREE_PAGES)
        pids = [target.pid, *(target.fork() for _ in range(4))]
        before = pss_kib(*pids)
        dumps = []
        for run in range(_TREE_RUNS):
            with Session(target.pid) as session:
                session.arm()
                chain = MemoryChain(session, Path(name) / str(run))
                first = chain.pre_dump()
            shutil.rmtree(chain.directory)
            with Session(target.pid) as session:
                session.arm()
                chain = MemoryChain(session, Path(name) / str(run))
                dumps.append(known(chain.dump(After.RUN).stopped_us) / 1e3)
            shutil.rmtree(chain.directory)
        after = pss_kib(*pids)
    yield Figure(
        "a tree of five that share 128 MiB: written by a pre-dump, against their Pss",
        first.size_bytes / 1024 / before, "×", 1.2, "lower", _TREE_RUNS,
        f"{first.size_bytes >> 20} MiB; Pss {before >> 10} MiB, after the links {after >> 10} MiB",
    )  # fmt: skip
    yield Figure(
        "the same: stopped for a dump of everything", statistics.median(dumps), "ms", 200, "lower", _TREE_RUNS
    )


def _opened(held: ExitStack, pid: int, is_stopped: bool) -> TargetMemory:
    relatives = held.enter_context(closing(Relatives()))
    return held.enter_context(closing(TargetMemory(pid, relatives, is_stopped=is_stopped)))


def _duration_ms(read: _Read, pages: PageSet, buffer: PageBuffer) -> float:
    at = 0
    with urgent():
        since = time.perf_counter()
        for chunk in pages.chunks(CHUNK_BYTES >> PAGE_SHIFT, MOST_RANGES):
            read(chunk, buffer, at)
            at += chunk.size_bytes
        return (time.perf_counter() - since) * 1e3


def _pinning(pid: int) -> _Read:
    """`process_vm_readv`, and nothing else."""

    def read(pages: PageSet, buffer: PageBuffer, offset: int) -> None:
        remote = np.empty((pages.range_count, 2), np.uint64)
        remote[:, 0] = pages.starts.astype(np.uint64) << np.uint64(PAGE_SHIFT)
        remote[:, 1] = (pages.ends - pages.starts).astype(np.uint64) << np.uint64(PAGE_SHIFT)
        local = (ctypes.c_uint64 * 2)(buffer.address + offset, pages.size_bytes)
        got = libc.process_vm_readv(pid, ctypes.addressof(local), 1, remote.ctypes.data, pages.range_count, 0)
        assert got == pages.size_bytes

    return read
