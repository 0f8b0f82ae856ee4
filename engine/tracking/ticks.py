"""Ticks, one after the other: their numbers and times, and the sample that sums up what one has seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from engine.kernel.huge_pages import pages_per_huge_page
from engine.pageset import PAGE_SIZE
from engine.tracking.cost_budget import CostKeeper
from engine.tracking.curve import summed
from engine.tracking.event_log import EventLog
from engine.tracking.heat import Found, HeatGrid
from engine.tracking.sample import ProcessSample, RateMode, Sample, Totals, TrackerKind


@dataclass(frozen=True, slots=True)
class Seen:
    """What one tick has seen of a tree."""

    began_s: float
    """When the tick began, by `time.perf_counter()`."""
    now_s: float
    """When it collected, by `time.monotonic()`."""
    mode: RateMode
    processes: tuple[ProcessSample, ...]
    found: Sequence[Found]
    """Of the same processes."""
    left_stopped_us: int
    """For how long processes that have left since were stopped."""


@final
class Ticks:
    """Counts the ticks of one session, has them paid for, and sums them up."""

    def __init__(self, tracker: TrackerKind, fault_s: float, costs: CostKeeper, log: EventLog) -> None:
        """No tick has been yet, and nothing is armed.

        Args:
            tracker: what sees the writes.
            fault_s: what the first write to a page after each re-arming costs the writer.
            costs: is told what each tick costs.
            log: gives each tick the events since the last.
        """
        self._tracker = tracker
        self._fault_s = fault_s
        self._costs = costs
        self._log = log
        self._heat = HeatGrid()
        self._armed_at_s: float | None = None
        self._last_s: float | None = None
        self._number = 0

    @property
    def are_armed(self) -> bool:
        """Whether writes are being tracked."""
        return self._armed_at_s is not None

    def begin(self, now_s: float) -> None:
        """The tree was armed: the next tick is number 0."""
        self._armed_at_s = self._last_s = now_s
        self._number = 0

    def sum_up(self, seen: Seen) -> Sample:
        """The sample of the next tick."""
        now_s, processes = seen.now_s, seen.processes
        number, self._number = self._number, self._number + 1
        interval_s = now_s - self._last_s if self._last_s is not None else 0.0
        self._last_s = now_s
        totals = _totals(processes, interval_s)
        inflated = sum(process.huge_inflation_pages for process in processes)
        stopped_us = sum(process.stopped_us for process in processes) + seen.left_stopped_us
        faults_s = totals.written_pages * self._fault_s if self.are_armed else 0.0
        spent_s = faults_s + (stopped_us / 1e6 if self.are_armed else 0.0)
        is_slowed = self._costs.is_slowed
        self._costs.ticked(now_s, faults_s, stopped_us / 1e6)
        unarmed = sum(not process.is_tracked for process in processes) if self.are_armed else 0
        self._log.note_costs(self._costs, unarmed, now_s)
        return Sample(
            number=number,
            time_s=now_s,
            elapsed_s=now_s - self._armed_at_s if self._armed_at_s is not None else 0.0,
            interval_s=interval_s,
            tracker=self._tracker,
            mode=seen.mode,
            processes=processes,
            totals=totals,
            tick_ms=(time.perf_counter() - seen.began_s) * 1e3,
            stopped_us=stopped_us,
            cost_fraction=spent_s / interval_s if interval_s > 0 else 0.0,
            page_bytes=PAGE_SIZE,
            events=self._log.take(),
            huge_inflation_pages=inflated,
            most_pages_per_write=pages_per_huge_page() if inflated else 1,
            curve=summed([process.curve for process in processes]),
            heat=self._heat.tick(now_s, interval_s, seen.found),
            budget=self._costs.budget,
            is_slowed=is_slowed,
        )


def _totals(processes: tuple[ProcessSample, ...], interval_s: float) -> Totals:
    each = [process.totals for process in processes]
    written = sum(totals.written_pages for totals in each)
    return Totals(
        present_pages=sum(totals.present_pages for totals in each),
        written_pages=written,
        since_armed_pages=sum(totals.since_armed_pages for totals in each),
        pending_pages=sum(totals.pending_pages for totals in each),
        pages_per_s=written / interval_s if interval_s > 0 else 0.0,
        dumpable_pages=sum(totals.dumpable_pages for totals in each),
    )
