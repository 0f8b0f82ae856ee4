"""What the threads of a target tell: frozen data, which names no target and knows no screen.

A thread is given a `Post`, which adds whose news it is (`tui.targets.told.Told`); what is done about it is in
`tui.hearing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.errors import DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advice
from engine.forecast.triggers.armed import Decision
from engine.tracking.heat import HeatColumn
from engine.tracking.sample import Event, RateMode, Sample, TrackerKind
from tui.orders import LinkRequest, Wait
from widgets.rate_chart import ChartPoint

if TYPE_CHECKING:  # heavy, and only named here
    from engine.attribution.report import Writers
    from engine.checkpoint.chain import Chain


@dataclass(frozen=True, slots=True)
class TargetOpened:
    """The engine has taken a target; samples follow."""

    tracker: TrackerKind
    modes: tuple[RateMode, ...]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A tick. Only the newest counts: what must not be lost (events, history) is kept elsewhere."""

    sample: Sample
    armed: bool
    history: tuple[ChartPoint, ...]
    lent: bool = False
    """Whether a chain of CRIU's owns the soft-dirty bits."""
    advice: Advice = NO_ADVICE
    heat: tuple[HeatColumn, ...] = ()
    why_full: str = ""
    """Why the next link of the chain under way will be a full one, as the chain says; empty: it will not."""


@dataclass(frozen=True, slots=True)
class EventsSeen:
    """Things that happened to the tree."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class SamplingFailed:
    """The target cannot be sampled (any more)."""

    error: DirtytopError


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """Arming or a change of mode was refused; sampling goes on."""

    error: DirtytopError


@dataclass(frozen=True, slots=True)
class DiskProbed:
    """For a moment a file without a name is written to where links would go."""

    directory: Path


@dataclass(frozen=True, slots=True)
class CostsMeasured:
    """What the links of a trigger would cost is known."""

    wait: Wait


@dataclass(frozen=True, slots=True)
class CostsNotMeasured:
    """What links would cost could not be found: there is no forecast yet."""

    error: DirtytopError
    wait: Wait | None = None
    """The trigger that they were to be made for; None: a forecast was all that was wanted."""


@dataclass(frozen=True, slots=True)
class TriggerDecided:
    """The armed trigger says what to do; it says so once."""

    wait: Wait
    decision: Decision


@dataclass(frozen=True, slots=True)
class TriggerRefused:
    """The target cannot be waited for."""

    wait: Wait
    error: DirtytopError


@dataclass(frozen=True, slots=True)
class LinkProgressed:
    """How far the running job is. Only the newest counts."""

    progress: LinkProgress


@dataclass(frozen=True, slots=True)
class LinkMade:
    """A pre-dump or dump is complete."""

    chain: Chain
    result: LinkResult
    why_full: str = ""
    """As of `Sampled`."""


@dataclass(frozen=True, slots=True)
class LinkNotMade:
    """A pre-dump or dump failed or was cancelled; its pages are pending again."""

    request: LinkRequest
    error: DirtytopError
    why_full: str = ""
    """As of `Sampled`."""
    log: Path | None = None
    """Of the program that failed, if it left one."""


@dataclass(frozen=True, slots=True)
class WritersSeen:
    """Which code has written the target so far. Only the newest counts."""

    writers: Writers


@dataclass(frozen=True, slots=True)
class WritersRefused:
    """It cannot be found out which code writes the target."""

    error: DirtytopError


OfTarget = (
    TargetOpened
    | Sampled
    | EventsSeen
    | SamplingFailed
    | CommandFailed
    | DiskProbed
    | CostsMeasured
    | CostsNotMeasured
    | TriggerDecided
    | TriggerRefused
    | LinkProgressed
    | LinkMade
    | LinkNotMade
    | WritersSeen
    | WritersRefused
)

Post = Callable[[OfTarget], object]
"""Where a thread's messages go; safe to call from any."""

NEWEST_COUNTS = (Sampled, LinkProgressed, WritersSeen)
"""Of these one that has not been looked at yet is made stale by the next."""
