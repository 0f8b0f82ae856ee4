"""The part of a sample that a forecast needs. A history is a sequence of these, oldest first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.pageset import PAGE_SIZE
from engine.tracking.curve import WorkingSetCurve
from engine.tracking.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One tick."""

    time_s: float
    """Monotonic."""
    interval_s: float
    """Since the collect before."""
    written_pages: int
    present_pages: int
    pending_pages: int
    """What the next link would have to save."""
    curve: WorkingSetCurve
    processes: int = 1
    tick_s: float = 0.003
    page_bytes: int = PAGE_SIZE
    dumpable_pages: int | None = None
    """What the first link of a chain would have to save; None: what is pending."""

    @classmethod
    def of(cls, sample: Sample) -> Look:
        """The gist of a sample."""
        totals = sample.totals
        return cls(
            time_s=sample.time_s,
            interval_s=sample.interval_s,
            written_pages=totals.written_pages,
            present_pages=totals.present_pages,
            pending_pages=totals.pending_pages,
            curve=sample.curve,
            processes=len(sample.processes),
            tick_s=sample.tick_ms / 1e3,
            page_bytes=sample.page_bytes,
            dumpable_pages=totals.dumpable_pages or None,
        )

    def of_new_chain(self) -> Look:
        """The same if everything were pending."""
        return self if self.dumpable_pages is None else replace(self, pending_pages=self.dumpable_pages)

    @property
    def began_s(self) -> float:
        """When the interval it counts began."""
        return self.time_s - self.interval_s

    @property
    def pages_per_s(self) -> float:
        """Written, over the measured interval."""
        return self.written_pages / self.interval_s if self.interval_s > 0 else 0.0
