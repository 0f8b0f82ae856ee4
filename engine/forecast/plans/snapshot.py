"""Two questions that U(t), the pages written within t seconds, answers besides: forks, and how often to dump.

A server that snapshots by `fork` keeps the old copy of each page that it writes until the child is done: so
much memory more it needs. And a program that may die is best dumped at the interval at which stops and work
that is lost together cost least (Young 1974, Daly 2006), where a stop is as long as U(t) makes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.forecast.estimate import Estimate

_STEPS: Final = 400
_SHORTEST_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class ForkSnapshot:
    """What a snapshot by fork takes."""

    span_s: float
    """From the fork to the end of the child."""
    copied: Estimate
    """Bytes that are there twice at its end."""
    free_bytes: int
    """What the machine, or the target's memory cgroup, has left for it."""

    @property
    def fits(self) -> bool:
        """Whether there is room even for the most that is foreseen."""
        return self.copied.high <= self.free_bytes


@dataclass(frozen=True, slots=True)
class DumpInterval:
    """How often to dump a program that may die."""

    mtbf_s: float
    """Mean time between failures."""
    every_s: float
    stopped_s: Estimate
    """Of each dump at that interval."""
    stopped_fraction: float
    """Of the time, lost to stops."""
    redone_fraction: float
    """Of the time, lost with what was done since the last dump."""

    @property
    def lost_fraction(self) -> float:
        """Both."""
        return self.stopped_fraction + self.redone_fraction


def best_interval(
    pages: Callable[[float], Estimate], stop_s: Callable[[Estimate], Estimate], mtbf_s: float
) -> DumpInterval:
    """The interval at which least is lost.

    Args:
        pages: distinct pages written within so many seconds.
        stop_s: how long a dump of so many pages stops the target, seconds.
        mtbf_s: mean time between failures, seconds; over 0.
    """
    spans_s = np.geomspace(_SHORTEST_S, max(2 * _SHORTEST_S, mtbf_s), _STEPS)
    found: DumpInterval | None = None
    for every_s in spans_s.tolist():
        stopped = stop_s(pages(every_s))
        here = DumpInterval(
            mtbf_s, every_s, stopped, stopped.mid / (every_s + stopped.mid), _redone(every_s, mtbf_s)
        )
        if found is None or here.lost_fraction < found.lost_fraction:
            found = here
    assert found is not None
    return found


def _redone(every_s: float, mtbf_s: float) -> float:
    """The share of the time that is lost with work done since the last dump; failures come at random."""
    ratio = every_s / mtbf_s
    return 1 - ratio / math.expm1(ratio)
