"""One watched target: what is known of it, and the threads that work on it.

Only the app's own thread touches a `Target`; the sampler and the jobs tell it what they found by messages,
which end up in the methods here. What it knows is one frozen value; `changed` is called for each new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.errors import Cancelled, DirtytopError
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode, TrackerKind
from tui.backend import Tracking, WriterWatching
from tui.messages import LinkMade, LinkNotMade, Sampled
from tui.threads.link_job import LinkJob
from tui.threads.sampler import Sampler
from tui.view.facts import ChainFacts, Facts, Look, Paused, Stage
from tui.view.wait import Waiting
from widgets.event_log import LogLine, Severity
from widgets.rate_chart import ChartMark

if TYPE_CHECKING:  # heavy, and only named here
    from engine.attribution.report import Writers
    from engine.checkpoint.chain import Chain
    from engine.checkpoint.engines import EngineReport


def nobody() -> None:
    """Nobody shows it."""


class Target:
    """A picked process with its descendants.

    Args:
        pid: the process.
        command: its name, if known, until a sample says it.
        interval_s: from tick to tick.
        changed: called whenever anything else is known of it.
    """

    def __init__(
        self, pid: int, command: str = "", interval_s: float = 1.0, changed: Callable[[], None] = nobody
    ) -> None:
        self.facts = Facts.of(pid, command, interval_s)
        self.sampler: Sampler | None = None
        self.job: LinkJob | None = None
        self.refused_directory: Path | None = None
        """Where a chain could not be begun."""
        self._chain: Chain | None = None
        self._changed = changed

    def _know(self, **facts: Any) -> None:
        """From now on these are what is known."""
        self.facts = replace(self.facts, **facts)
        self._changed()

    @property
    def pid(self) -> int:
        """Of its root."""
        return self.facts.pid

    @property
    def name(self) -> str:
        """As in "postgres 40", for titles; not yet printable."""
        return f"{self.facts.command} {self.facts.pid}"

    @property
    def tracking(self) -> Tracking | None:
        """The engine's end of it, once it is open."""
        return self.sampler.tracking if self.sampler is not None else None

    @property
    def open_chain(self) -> Chain | None:
        """The chain to which a link can be added."""
        return self._chain if self._chain is not None and not self._chain.is_ended else None

    # What the user does.

    def pause(self, now_s: float) -> None:
        """Freeze the view, or let it go on."""
        facts = self.facts
        self._know(paused=Paused(facts.live, now_s) if facts.paused is None else None)

    def set_interval(self, interval_s: float) -> None:
        """Tick at another pace."""
        self._know(interval_s=interval_s)
        if self.sampler is not None:
            self.sampler.set_interval(interval_s)

    def set_wait(self, wait: Waiting | None) -> None:
        """A trigger is armed, or further, or none is any more."""
        self._know(wait=wait)

    def watch_writers(self, begin: Callable[[Tracking], WriterWatching]) -> None:
        """Find out which code writes it, from now on."""
        self._know(writers=None, writers_error=None)
        if self.sampler is not None:
            self.sampler.watch_writers(begin)

    def stop_watching_writers(self) -> None:
        """Find that out no more; what was found stays."""
        if self.sampler is not None:
            self.sampler.stop_watching_writers()

    def begin(self, job: LinkJob) -> None:
        """A link is being made."""
        self.job = job
        self._know(request=job.request)

    # What threads tell.

    def opened(self, tracker: TrackerKind, modes: tuple[RateMode, ...]) -> None:
        """The engine has taken it."""
        self._know(stage=Stage.WATCHED, tracker=tracker, modes=modes)

    def sampled(self, tick: Sampled) -> None:
        """A tick has been taken; the last one, without processes, says that it is gone."""
        if not tick.sample.processes:
            self._know(stage=Stage.GONE)
            return
        self._know(
            command=tick.sample.processes[0].command,
            is_armed=tick.armed,
            is_lent=tick.lent,
            live=Look(tick.sample, tick.history, tick.advice, tick.heat),
            why_full=tick.why_full,
        )

    def writers_seen(self, writers: Writers) -> None:
        """So much is known of which code writes it."""
        self._know(writers=writers)

    def writers_refused(self, error: DirtytopError) -> None:
        """It cannot be found out."""
        self._know(writers_error=error)

    def failed(self, error: DirtytopError) -> None:
        """It cannot be sampled, or not any more."""
        self._know(stage=Stage.REFUSED, error=error)

    def examined(self, engines: tuple[EngineReport, ...]) -> None:
        """What can make links of it has been looked up."""
        self._know(engines=engines)

    def progressed(self, progress: LinkProgress) -> None:
        """The job is so far."""
        if self.facts.is_busy:
            self._know(progress=progress)

    def link_made(self, made: LinkMade) -> None:
        """The job is done."""
        chain = self._chain = made.chain
        self.job = None
        if self.sampler is not None:
            self.sampler.follow(chain)
        self._know(
            request=None,
            progress=None,
            failed_log=None,
            chain=ChainFacts(chain.directory, chain.engine, chain.links, chain.is_ended),
            why_full=made.why_full,
            marks=(*self.facts.marks, *self._mark(made.result)),
        )

    def _mark(self, result: LinkResult) -> tuple[ChartMark, ...]:
        sample = self.facts.live.sample
        if sample is None or result.since_look_s is None:
            return ()
        label = "■" if result.kind is LinkKind.DUMP else str(result.number)
        # It holds what was written until it looked; from then on pages are pending again.
        return (ChartMark(sample.time_s - result.since_look_s, label),)

    def link_not_made(self, failed: LinkNotMade) -> None:
        """The job failed or was cancelled; a chain it would have begun has not begun."""
        if failed.request.chain is not None and not isinstance(failed.error, Cancelled):
            self.refused_directory = failed.request.chain.directory
        self.job = None
        self._know(request=None, progress=None, failed_log=failed.log, why_full=failed.why_full)

    def note(self, clock: str, text: str, severity: Severity = "information") -> None:
        """Add a line to the event log."""
        self._know(log=self.facts.log.with_line(LogLine(clock, text, severity)))
