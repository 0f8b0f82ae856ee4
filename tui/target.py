"""One watched target as the dashboard knows it: what was seen of it, and what is being done with it.

Only the app's own thread touches a `Target`; the sampler and the jobs tell it what they found by
messages, which end up in the methods here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.errors import Cancelled, DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advice
from engine.images.layout import LinkKind
from engine.tracking.cost_words import say_budget
from engine.tracking.heat import HeatColumn
from engine.tracking.sample import RateMode, Sample, TrackerKind
from tui.backend import Tracking
from tui.jobs import LinkJob
from tui.messages import Sampled
from tui.sampler import Sampler
from tui.wait import Waiting
from tui.words import inflation_text, lent_text
from widgets.measured import has_rates, is_tracked
from widgets.rate_chart import ChartMark, ChartPoint
from widgets.target_header import Notice, TargetState, TargetStatus

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.chain import Chain
    from engine.checkpoint.engines import EngineReport

Severity = Literal["information", "warning", "error"]

LOG_LINES: Final = 500


class Stage(Enum):
    """Where a target is between being picked and being let go."""

    OPENING = "opening"
    WATCHED = "watched"
    GONE = "gone"
    """It has exited; what was seen of it stays."""
    REFUSED = "refused"
    """It cannot be sampled: see `Target.error`."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a target's event log; `clock` is the time of day."""

    clock: str
    text: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class View:
    """What the panels show: of the last tick, or of the tick at which the user paused."""

    sample: Sample | None = None
    history: tuple[ChartPoint, ...] = ()
    advice: Advice = NO_ADVICE
    heat: tuple[HeatColumn, ...] = ()


class Target:
    """A picked process with its descendants.

    Args:
        pid: the process.
        start_ticks: its start time, if known; a process that has got the pid since is refused.
        command: its name, if known, until a sample says it.
        interval_s: from tick to tick.
    """

    def __init__(
        self, pid: int, *, start_ticks: int | None = None, command: str = "", interval_s: float = 1.0
    ) -> None:
        self.pid = pid
        self.start_ticks = start_ticks
        self.command = command
        self.interval_s = interval_s
        self.stage = Stage.OPENING
        self.error: DirtytopError | None = None
        self.sampler: Sampler | None = None
        self.tracker: TrackerKind | None = None
        self.modes: tuple[RateMode, ...] = ()
        self.is_armed = False
        self.is_lent = False
        """Whether a chain of CRIU's owns the soft-dirty bits, as of the last tick."""
        self.broken = ""
        """Why the next link will be a full one, in words; empty if it can build on the last."""
        self.live = View()
        self.job: LinkJob | None = None
        self.progress: LinkProgress | None = None
        self.wait: Waiting | None = None
        """The trigger that is set."""
        self.failed_log: Path | None = None
        """The log of the program that failed to make the last link."""
        self.engines: tuple[EngineReport, ...] = ()
        """What can make links of it, as last looked up; empty if that has not been done."""
        self.chain: Chain | None = None
        self.refused_directory: Path | None = None
        """Where a chain could not be begun."""
        self.links: tuple[LinkResult, ...] = ()
        """Of the chain under way, or of the last one."""
        self.marks: tuple[ChartMark, ...] = ()
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self._broken_during: LinkJob | None = None
        self._frozen: tuple[View, float] | None = None

    @property
    def view(self) -> View:
        """What to show: the last tick, or while paused the tick shown then."""
        return self._frozen[0] if self._frozen else self.live

    @property
    def is_paused(self) -> bool:
        """Whether the view is frozen; sampling goes on."""
        return self._frozen is not None

    def paused_s(self, now_s: float) -> float:
        """How long the view has been frozen."""
        return now_s - self._frozen[1] if self._frozen else 0.0

    def pause(self, now_s: float) -> None:
        """Freeze the view, or let it go on."""
        self._frozen = None if self._frozen else (self.live, now_s)

    @property
    def is_busy(self) -> bool:
        """Whether a pre-dump or dump is under way."""
        return self.job is not None

    @property
    def is_ready(self) -> bool:
        """Whether it is being sampled and can be armed and dumped."""
        return self.stage is Stage.WATCHED

    @property
    def open_chain(self) -> Chain | None:
        """The chain to which a link can be added."""
        return self.chain if self.chain is not None and not self.chain.is_ended else None

    @property
    def directory(self) -> Path | None:
        """Where the chain is, if there is one."""
        return self.chain.directory if self.chain is not None else None

    @property
    def tracking(self) -> Tracking | None:
        """The engine's end of it, once it is open."""
        return self.sampler.tracking if self.sampler is not None else None

    @property
    def chain_directory(self) -> Path | None:
        """Where the chain is to which a link can be, or is being, added."""
        if self.job is not None and self.job.request.chain is not None:
            return self.job.request.chain.directory
        return self.open_chain.directory if self.open_chain is not None else None

    @property
    def newest_restorable(self) -> LinkResult | None:
        """The dump from which the target can be made again."""
        return next((link for link in reversed(self.links) if link.restorable), None)

    @property
    def next_bytes(self) -> int:
        """What the next link of the chain would have to write, as of the last tick."""
        return self.whole_bytes if self.broken else self.pending_bytes

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

    def status(self, now_s: float) -> TargetStatus:
        """What the header says; the clock of its badge is how long it has been so."""
        sample = self.view.sample
        if self.stage is Stage.GONE:
            state = TargetState.GONE
        elif self.is_paused:
            state = TargetState.PAUSED
        else:
            state = TargetState.ARMED if self.is_armed else TargetState.NOT_ARMED
        return TargetStatus(
            pid=self.pid,
            command=self.command,
            state=state,
            tracker=self.tracker,
            interval_set_s=self.interval_s,
            process_count=len(sample.processes) if sample else 1,
            mode=sample.mode if sample else None,
            armed_s=self.paused_s(now_s) if self.is_paused else sample.elapsed_s if sample else 0.0,
            interval_measured_s=_if_measured(sample, sample.interval_s) if sample else 0.0,
            tick_ms=sample.tick_ms if sample else 0.0,
            cost_fraction=_if_measured(sample, sample.cost_fraction) if sample else 0.0,
            stopped_us=sample.stopped_us if sample else 0,
            is_lent=self.is_lent,
            notices=tuple(self._notices(sample)),
        )

    def _notices(self, sample: Sample | None) -> Iterator[Notice]:
        if self.broken:
            yield Notice(self.broken, "error")
        if self.is_lent:
            where = self.chain_directory
            # Its name alone: a line of the header has no room for more, and the chain's panel tells as much.
            yield Notice(lent_text(Path(where.name) if where is not None else None), "warning")
        if self.wait is not None:  # of the last tick, even while the view is frozen: it may fire any time
            yield Notice(self.wait.line(self.live.advice, is_busy=self.is_busy), "information")
        if sample is not None and sample.is_slowed:
            yield Notice(
                f"ticks come later than asked for, to keep the {say_budget(sample.budget)}", "information"
            )
        if sample is not None and self.is_armed and sample.unarmed_count:
            text = f"{sample.unarmed_count} young children are not tracked: {say_budget(sample.budget)}"
            yield Notice(text, "information")
        if sample is not None and sample.huge_inflation_pages:
            yield Notice(inflation_text(sample), "information")

    def opened(self, tracker: TrackerKind, modes: tuple[RateMode, ...]) -> None:
        """The engine has taken it."""
        self.stage = Stage.WATCHED
        self.tracker = tracker
        self.modes = modes

    def sampled(self, tick: Sampled) -> None:
        """A tick has been taken; the last one, without processes, says that it is gone."""
        if not tick.sample.processes:
            self.stage = Stage.GONE
            return
        self.is_armed = tick.armed
        self.is_lent = tick.lent
        self.live = View(tick.sample, tick.history, tick.advice, tick.heat)
        self.command = tick.sample.processes[0].command

    def failed(self, error: DirtytopError) -> None:
        """It cannot be sampled, or not any more."""
        self.stage = Stage.REFUSED
        self.error = error

    def chain_broken(self, why: str) -> None:
        """What was written since the last link cannot be told any more: the next one will be full."""
        if self.open_chain is not None or self.is_busy:
            self.broken = f"{why}: the next link will be full"
            self._broken_during = self.job

    def link_made(self, chain: Chain, result: LinkResult) -> None:
        """The job is done."""
        # What broke while this one was being made makes the next one full.
        if chain.is_ended or (not result.pages_in_parent and self._broken_during is not self.job):
            self.broken = ""
        self._broken_during = None
        self.job = self.progress = self.failed_log = None
        self.chain = chain
        self.links = chain.links
        if self.live.sample and result.since_look_s is not None:
            label = "■" if result.kind is LinkKind.DUMP else str(result.number)
            # It holds what was written until it looked; from then on pages are pending again.
            looked_s = self.live.sample.time_s - result.since_look_s
            self.marks = (*self.marks, ChartMark(looked_s, label))

    def link_not_made(self, error: DirtytopError, *, why_full: str, log: Path | None) -> None:
        """The job failed or was cancelled; a chain it would have begun has not begun."""
        if self.job is not None and self.job.request.chain is not None and not isinstance(error, Cancelled):
            self.refused_directory = self.job.request.chain.directory
        self.job = self.progress = self._broken_during = None
        self.failed_log = log
        if self.open_chain is None:
            self.broken = ""
        if why_full:
            self.chain_broken(why_full)

    def note(self, clock: str, text: str, severity: Severity = "information") -> LogLine:
        """Add a line to the event log."""
        line = LogLine(clock, text, severity)
        self.log.append(line)
        return line


def _if_measured(sample: Sample, figure: float) -> float:
    """What goes by the interval of a tick is not known of one that has hardly any behind it."""
    return math.nan if is_tracked(sample) and not has_rates(sample) else figure
