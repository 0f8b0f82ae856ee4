"""Targets simulated page by page, on a clock of our own: forecasts are held against what comes.

Time goes in milliseconds. A workload says which pages are written in each; everything else is derived by
the engine's own page ages, as a real session does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from engine.checkpoint.link import Engine
from engine.forecast.costs.line import CostLine
from engine.forecast.costs.model import CostModel
from engine.forecast.writes.look import Look
from engine.pageset import EMPTY, PAGE_SIZE, Int64Array, PageSet
from engine.tracking.ages import NEVER
from engine.tracking.curve import CollectTimes

Writes = Callable[[int], Int64Array]
"""The pages written in one millisecond."""

MIB = (1 << 20) // PAGE_SIZE


def cycling(pages: int, per_ms: int) -> Writes:
    """Round and round over a set."""
    return lambda ms: (ms * per_ms + np.arange(per_ms)) % pages


def zipf(pages: int, per_ms: int, seed: int, exponent: float = 1.1) -> Writes:
    """Some pages much more often than others."""
    weights = 1.0 / np.arange(1, pages + 1) ** exponent
    reach = np.cumsum(weights) / weights.sum()
    place = np.random.default_rng(seed).permutation(pages)

    @cache
    def block(number: int) -> Int64Array:
        drawn = np.random.default_rng((seed, number)).random((100, per_ms))
        return np.asarray(place[np.searchsorted(reach, drawn)], np.int64)

    return lambda ms: np.asarray(block(ms // 100)[ms % 100])


def bursting(writes: Writes, burst_ms: int, quiet_ms: int) -> Writes:
    """Some of the time, and nothing else the rest."""
    nothing = np.empty(0, np.int64)
    return lambda ms: writes(ms) if ms % (burst_ms + quiet_ms) < burst_ms else nothing


def growing(per_ms: int, first: int) -> Writes:
    """New pages all the time, each once."""
    return lambda ms: first + ms * per_ms + np.arange(per_ms)


@dataclass(frozen=True)
class Made:
    """One link of a chain that was made."""

    pages: int
    seconds: float
    stopped_s: float


class Machine:
    """A target with its workload, and a disk."""

    def __init__(self, writes: Writes, cold: int, *, disk_mib_per_s: float = 900.0) -> None:
        self.writes = writes
        self.resident = PageSet([0], [cold])
        """Pages there from the beginning, written or not."""
        self._present = {0: self.resident}
        mib_s = 1 / (1 << 20)
        self.costs = CostModel(
            Engine.MEMORY,
            pre_dump=CostLine.of(0.005, mib_s / disk_mib_per_s),
            pre_dump_stop=CostLine.of(0.0, 0.0),
            dump=CostLine.of(0.01, mib_s / disk_mib_per_s),
            dump_stop=CostLine.of(0.002, mib_s / 3000),
            dump_lead=CostLine.of(0.004, 0.0),
        )

    def written(self, from_ms: int, to_ms: int) -> PageSet:
        if to_ms <= from_ms:
            return EMPTY
        return PageSet.from_pages(np.concatenate([self.writes(ms) for ms in range(from_ms, to_ms)]))

    def present(self, at_ms: int) -> PageSet:
        known_ms = max((ms for ms in self._present if ms <= at_ms), default=0)
        present = self._present[known_ms] | self.written(known_ms, at_ms)
        self._present[at_ms] = present
        return present

    def watch(self, gaps_ms: Sequence[int]) -> list[Look]:
        """Tick with these gaps, from 0 on."""
        collected, ages = CollectTimes(), NEVER
        collected.arm(0.0)
        looks, now = [], 0
        for gap in gaps_ms:
            fresh = self.written(now, now + gap)
            now += gap
            present = self.present(now)
            ages = ages.written(fresh, now / 1000)
            collected.collect(now / 1000, rearmed=True)
            looks.append(
                Look(
                    time_s=now / 1000,
                    interval_s=gap / 1000,
                    written_pages=fresh.count,
                    present_pages=present.count,
                    pending_pages=present.count,
                    curve=collected.curve(ages, present),
                )
            )
        return looks

    def make_chain(self, at_ms: int, pre_dumps: int) -> list[Made]:
        """What truly comes of so many pre-dumps and a dump."""
        made: list[Made] = []
        now = last = at_ms
        pending: PageSet | None = None
        for _ in range(pre_dumps):
            pending = self.present(now) if pending is None else self.written(last, now)
            size = pending.size_bytes
            made.append(Made(pending.count, self.costs.pre_dump.mid_s(size), 0.0))
            last, now = now, now + round(1000 * made[-1].seconds)
        now += round(1000 * self.costs.dump_lead.mid_s(0))
        pending = self.present(now) if pending is None else self.written(last, now)
        size = pending.size_bytes
        made.append(Made(pending.count, self.costs.dump.mid_s(size), self.costs.dump_stop.mid_s(size)))
        return made


def ticks(count: int, gap_ms: int = 500, *, closely: bool = True) -> list[int]:
    """Regular gaps, and a close look at the end of every tenth."""
    gaps = []
    for number in range(count):
        gaps.append(gap_ms)
        if closely and number % 10 == 9:
            gaps += [320, 160, 80, 40, 20]
    return gaps
