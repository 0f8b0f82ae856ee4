"""What one tick found: plain frozen data, made in the sampling thread and shown by everyone else."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from engine.kernel.maps import Maps
from engine.pageset import Int64Array
from engine.tracking.cost_budget import NO_BUDGET, CostBudget
from engine.tracking.curve import NO_CURVE, WorkingSetCurve
from engine.tracking.heat import NO_HEAT, HeatColumn


class TrackerKind(Enum):
    """How we learn of writes."""

    SOFT_DIRTY = "soft-dirty"
    WRITE_PROTECT = "write-protect"


class RateMode(Enum):
    """What a tick does to the tracker."""

    CUMULATIVE = "cumulative"
    """It only reads: pages first written since armed show, pages written again do not."""
    REARMING = "re-arming"
    """It clears as it reads: each tick shows every page written since the tick before."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of pages, and the rate over the measured interval."""

    present_pages: int = 0
    """Resident or swapped; pages that are only the shared zero page do not count."""
    written_pages: int = 0
    """Reported by the tracker for this tick."""
    since_armed_pages: int = 0
    """Distinct pages written since tracking was armed."""
    pending_pages: int = 0
    """What the next image must save: everything dumpable before the first, then what changed."""
    pages_per_s: float = 0.0
    """`written_pages` over the measured interval; 0 in the first sample."""
    dumpable_pages: int = 0
    """What an image without a parent must save."""


@dataclass(frozen=True, slots=True)
class Untracked:
    """A mapping whose writes we cannot see; a checkpoint of ours saves it whole each time."""

    start: int
    end: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ProcessSample:
    """One process of the tree. The arrays hold one entry per VMA of `maps`, in its order."""

    pid: int
    parent_pid: int
    command: str
    """Its short name, printable."""
    maps: Maps
    present_pages: Int64Array
    written_pages: Int64Array
    since_armed_pages: Int64Array
    pending_pages: Int64Array
    last_write_s: NDArray[np.float64]
    """Seconds from the last write seen to this sample; NaN where none was seen since armed."""
    totals: Totals
    untracked: tuple[Untracked, ...] = ()
    stopped_us: int = 0
    """How long this tick stopped the process."""
    curve: WorkingSetCurve = NO_CURVE
    """Of its dumpable pages."""
    huge_inflation_pages: int = 0
    """Of its written pages, how many may be counted only because a huge page is tracked as one."""
    is_tracked: bool = True
    """False of a child that is not armed yet: its writes are not seen, and an image holds it in full."""


class EventKind(Enum):
    """What happened to the tree between two ticks."""

    JOINED = "joined"
    LEFT = "left"
    EXECED = "exec"
    REARMED = "re-armed"
    UNTRACKABLE = "cannot be tracked"
    MODE = "mode"
    FOREIGN_CLEAR = "foreign clear"
    """Another program cleared the soft-dirty bits: the next image must be a full one."""
    HUGE_PAGES = "huge pages"
    """Writes to huge pages began to show as more pages than were written; once for each process."""
    SEAMS = "seams"
    """What being armed means for a target that is watched by write-protection; once, when it is armed."""
    COST = "cost"
    """Something is put off because tracking would cost the target more than its budget, or no longer is."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a process, in words."""

    kind: EventKind
    pid: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One tick of a `Session`."""

    number: int
    """Counts from 0 since armed."""
    time_s: float
    """`time.monotonic()` when the tick collected."""
    elapsed_s: float
    """Since armed."""
    interval_s: float
    """Measured, from the collect before to this one."""
    tracker: TrackerKind
    mode: RateMode
    processes: tuple[ProcessSample, ...]
    """The root first, then its descendants; empty once the whole tree has exited."""
    totals: Totals
    tick_ms: float
    """What this tick took us."""
    stopped_us: int
    """How long the target was stopped by this tick, summed over its processes."""
    cost_fraction: float
    """Estimated share of one CPU that tracking cost the target: faults after each re-arm, and stops."""
    page_bytes: int
    events: tuple[Event, ...] = field(default=())
    huge_inflation_pages: int = 0
    """Of `written_pages`, how many may be counted only because a huge page is tracked as one."""
    most_pages_per_write: int = 1
    """What one write may count as in this tick: the pages of a huge page where one was written, else 1."""
    curve: WorkingSetCurve = NO_CURVE
    """How many distinct dumpable pages of the tree get written within t seconds."""
    heat: HeatColumn = NO_HEAT
    """Where in memory this tick's writes were."""
    budget: CostBudget = NO_BUDGET
    """What tracking may cost."""
    is_slowed: bool = False
    """Whether this tick came later than was asked for, because of the budget."""

    @property
    def unarmed_count(self) -> int:
        """How many of the processes are seen and not armed, because of the budget."""
        return sum(not process.is_tracked for process in self.processes)

    @property
    def bytes_per_s(self) -> float:
        """Written bytes per second over the measured interval."""
        return self.totals.pages_per_s * self.page_bytes
