"""What is known of one target, as frozen data: what its threads have told, and what the user has asked for.

Only `tui.targets.target` replaces it. All that a screen shows of a target is made of it (`tui.view.made`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.checkpoint.link import Engine, LinkProgress, LinkResult
from engine.errors import DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advice
from engine.tracking.heat import HeatColumn
from engine.tracking.sample import RateMode, Sample, TrackerKind
from tui.orders import LinkRequest
from tui.view.wait import Waiting
from widgets.event_log import LogLine
from widgets.rate_chart import ChartMark, ChartPoint

if TYPE_CHECKING:  # heavy, and only named here
    from engine.attribution.report import Writers
    from engine.checkpoint.engines import EngineReport

LOG_LINES: Final = 500
_NUMBERS: Final = count(1)


class Stage(Enum):
    """Where a target is between being picked and being let go."""

    OPENING = "opening"
    WATCHED = "watched"
    GONE = "gone"
    """It has exited; what was seen of it stays."""
    REFUSED = "refused"
    """It cannot be sampled: see `Facts.error`."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a tick has brought."""

    sample: Sample | None = None
    history: tuple[ChartPoint, ...] = ()
    advice: Advice = NO_ADVICE
    heat: tuple[HeatColumn, ...] = ()


NO_LOOK: Final = Look()


@dataclass(frozen=True, slots=True)
class Paused:
    """A view that the user has frozen; sampling goes on."""

    look: Look
    """The tick that is shown meanwhile."""
    since_s: float
    """When it was frozen, as `Clock.monotonic`."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """The chain of a target: the one under way, or the last one."""

    directory: Path
    engine: Engine
    links: tuple[LinkResult, ...]
    is_ended: bool


@dataclass(frozen=True, slots=True)
class Log:
    """The newest lines of an event log, and how many there have been."""

    lines: tuple[LogLine, ...] = ()
    count: int = 0

    def with_line(self, line: LogLine) -> Log:
        """The same, one line longer; the oldest goes when there are 500."""
        return Log((*self.lines, line)[-LOG_LINES:], self.count + 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """All that is known of a target."""

    number: int
    """Tells targets apart, even two of the same pid."""
    pid: int
    command: str = ""
    """Of its root; empty until it is known."""
    interval_s: float = 1.0
    """From tick to tick, as the user wants it."""
    stage: Stage = Stage.OPENING
    error: DirtytopError | None = None
    """Why it is refused."""
    tracker: TrackerKind | None = None
    modes: tuple[RateMode, ...] = ()
    is_armed: bool = False
    is_lent: bool = False
    """Whether a chain of CRIU's owns the soft-dirty bits, as of the last tick."""
    live: Look = NO_LOOK
    """The last tick."""
    paused: Paused | None = None
    chain: ChainFacts | None = None
    why_full: str = ""
    """Why the next link of the chain under way will be a full one, as that chain last said."""
    request: LinkRequest | None = None
    """The link that is being made."""
    progress: LinkProgress | None = None
    """How far that link is."""
    wait: Waiting | None = None
    """The trigger that is set."""
    failed_log: Path | None = None
    """The log of the program that failed to make the last link."""
    engines: tuple[EngineReport, ...] = ()
    """What can make links of it, as last looked up; empty if that has not been done."""
    writers: Writers | None = None
    """Which code has written it since that was asked last; None before a tick has told."""
    writers_error: DirtytopError | None = None
    """Why that cannot be found out."""
    marks: tuple[ChartMark, ...] = ()
    """When links were made."""
    log: Log = Log()

    @classmethod
    def of(cls, pid: int, command: str = "", interval_s: float = 1.0) -> Facts:
        """All that is known of a target that was just picked."""
        return cls(number=next(_NUMBERS), pid=pid, command=command, interval_s=interval_s)

    @property
    def look(self) -> Look:
        """What to show: the last tick, or while paused the one shown then."""
        return self.paused.look if self.paused is not None else self.live

    @property
    def is_ready(self) -> bool:
        """Whether anything can be done with it."""
        return self.stage is Stage.WATCHED

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be seen of it."""
        return self.stage in (Stage.GONE, Stage.REFUSED)

    @property
    def is_busy(self) -> bool:
        """Whether a pre-dump or dump is under way."""
        return self.request is not None

    # The chain.

    @property
    def links(self) -> tuple[LinkResult, ...]:
        """Of the chain under way, or of the last one."""
        return self.chain.links if self.chain is not None else ()

    @property
    def open_chain(self) -> ChainFacts | None:
        """The chain to which a link can be added."""
        return self.chain if self.chain is not None and not self.chain.is_ended else None

    @property
    def chain_directory(self) -> Path | None:
        """Where the chain is to which a link can be, or is being, added."""
        if self.request is not None and self.request.chain is not None:
            return self.request.chain.directory
        return self.open_chain.directory if self.open_chain is not None else None

    @property
    def newest_restorable(self) -> LinkResult | None:
        """The dump from which the target can be made again."""
        return next((link for link in reversed(self.links) if link.restorable), None)

    @property
    def full_text(self) -> str:
        """That the next link will be a full one, and why; empty if it can build on the last."""
        return f"{self.why_full}: the next link will be full" if self.why_full else ""

    @property
    def next_bytes(self) -> int:
        """What the next link of the chain would have to write, as of the last tick."""
        return self.whole_bytes if self.why_full else self.pending_bytes

    @property
    def pending_bytes(self) -> int:
        """What was written since the last link, or everything if there is none, as of the last tick."""
        sample = self.live.sample
        return sample.totals.pending_pages * sample.page_bytes if sample else 0

    @property
    def whole_bytes(self) -> int:
        """What a link without a parent would have to write, at most, as of the last tick."""
        if self.chain is None:
            return self.pending_bytes
        sample = self.live.sample
        return sample.totals.present_pages * sample.page_bytes if sample else 0
