"""What the engine costs, and what it costs its target."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Category, Pagemap
from engine.pageset import PAGE_SIZE, PageSet
from engine.tracking.session import Session
from tests.bench.figure import Figure, median_ms
from tests.known import known
from tests.targets.scripted import ScriptedTarget

_GIB = 1 << 30
_HOT_PAGES = (64 << 20) // PAGE_SIZE
_RUNS = 15


def measure() -> Iterator[Figure]:
    """Every figure of the engine."""
    yield _page_sets()
    yield from _tick_of_8_gib()
    yield _tick_of_many_vmas()
    yield from _links_of_1_gib()


def _page_sets() -> Figure:
    import numpy as np

    rng = np.random.default_rng(1)
    left = PageSet.from_pages(rng.integers(0, 1 << 27, 1_010_000))
    right = PageSet.from_pages(rng.integers(0, 1 << 27, 1_010_000))
    duration_ms = median_ms(lambda: left | right, _RUNS)
    return Figure("union of two sets of a million ranges", duration_ms, "ms", 300, "lower", _RUNS)


def _tick_of_8_gib() -> Iterator[Figure]:
    pages = 8 * _GIB // PAGE_SIZE
    with ScriptedTarget(pages=16) as target:
        base = target.map(pages)
        target.touch(base, pages)
        for name, step in (("in one piece", 1), ("each page apart", 3)):
            with Session(target.pid) as session:
                session.arm()
                session.tick()
                span = read_maps(target.pid).user_span
                pagemap = Pagemap(target.pid)
                ticks, scans = [], []
                for run in range(_RUNS):
                    target.touch(base, _HOT_PAGES * step, step=step, value=run)
                    ticks.append(session.tick().tick_ms)
                    target.touch(base, _HOT_PAGES * step, step=step, value=run)
                    since = time.perf_counter()
                    pagemap.scan(*span, all_of=Category.WRITTEN, none_of=Category.ZERO, write_protect=True)
                    scans.append((time.perf_counter() - since) * 1e3)
                pagemap.close()
            tick, scan = statistics.median(ticks), statistics.median(scans)
            yield Figure(
                f"tick, 8 GiB resident, 64 MiB hot {name}, against the bare ioctl",
                tick / scan, "×", 2.0, "lower", _RUNS, f"tick {tick:.1f} ms, ioctl {scan:.1f} ms",
            )  # fmt: skip


def _tick_of_many_vmas() -> Figure:
    pages = (20 << 40) // PAGE_SIZE
    with ScriptedTarget(pages=16) as target:
        sparse = target.map(pages, reserve=False)
        target.touch(sparse, pages // 1000 * 1000, step=pages // 1000)
        many = target.map(65_000)
        target.touch(many, 65_000)
        target.scatter(many, 65_000)
        with Session(target.pid) as session:
            session.arm()
            session.tick()
            ticks = []
            for run in range(_RUNS):
                target.touch(sparse, pages // 1000 * 1000, step=pages // 1000, value=run)
                sample = session.tick()
                ticks.append(sample.tick_ms)
        vmas = len(sample.processes[0].maps.vmas)
    return Figure(
        "tick, 65,000 VMAs and 20 TiB sparse", statistics.median(ticks), "ms", 200, "lower", _RUNS,
        f"{vmas} VMAs",
    )  # fmt: skip


def _links_of_1_gib() -> Iterator[Figure]:
    pages = _GIB // PAGE_SIZE
    rates, stops, dump_stops, first_stop_us = [], [], [], []
    runs = 7
    with ScriptedTarget(pages=16) as target, tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as name:
        base = target.map(pages)
        target.touch(base, pages)
        for run in range(runs):
            with Session(target.pid) as session:
                session.arm()
                first_stop_us.append(session.tick().stopped_us)
                chain = MemoryChain(session, Path(name) / str(run))
                first = chain.pre_dump()
                rates.append(first.size_bytes / known(first.copy_s) / _GIB)
                stops.append(first.stopped_us)
                target.touch(base, _HOT_PAGES, value=run)
                dump_stops.append(known(chain.dump(After.RUN).stopped_us) / 1e3)
            shutil.rmtree(chain.directory)
    yield Figure(
        "native pre-dump of 1 GiB to the page cache", statistics.median(rates), "GiB/s", 2.0, "higher", runs,
        f"target stopped {max(map(known, stops))} µs",
    )  # fmt: skip
    yield Figure(
        "arming: one thread stopped for the remote system call", statistics.median(first_stop_us) / 1e3,
        "ms", 1.0, "lower", runs,
    )  # fmt: skip
    yield Figure(
        "native dump, 64 MiB pending of 1 GiB: target stopped", statistics.median(dump_stops), "ms", 60,
        "lower", runs,
    )  # fmt: skip
