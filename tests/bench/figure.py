"""One line of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, with the reach it is held against."""

    name: str
    value: float
    unit: str
    reach: float
    better: str
    """"lower" or "higher"."""
    runs: int
    detail: str = ""

    @property
    def reached(self) -> bool:
        """Whether the value is within reach."""
        return self.value <= self.reach if self.better == "lower" else self.value >= self.reach

    def as_json(self) -> dict[str, Any]:
        """For `bench.json`."""
        return {**asdict(self), "reached": self.reached}


def median_ms(work: Callable[[], object], runs: int) -> float:
    """The median duration of `work`, in milliseconds."""
    return statistics.median(durations_ms(work, runs))


def durations_ms(work: Callable[[], object], runs: int) -> list[float]:
    """How long each run of `work` took, in milliseconds."""
    found = []
    for _ in range(runs):
        since = time.perf_counter()
        work()
        found.append((time.perf_counter() - since) * 1e3)
    return found
