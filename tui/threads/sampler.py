"""The thread that watches one target.

Each target has a thread of its own for as long as it is watched: a slow target delays nobody, and
leaving waits for no thread pool. Everything it finds is posted to the app as a message; everything
it is told comes through a queue, which is also its clock: it sleeps by waiting for the next command.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from engine.errors import DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advisor
from engine.forecast.driver import Driver, Tick
from engine.forecast.triggers.armed import Action
from engine.tracking.heat import HeatColumn
from engine.tracking.sample import RateMode, Sample
from tui.backend import Tracking, WriterWatching
from tui.messages import (
    CommandFailed,
    EventsSeen,
    Post,
    Sampled,
    SamplingFailed,
    TargetOpened,
    TriggerDecided,
    TriggerRefused,
    WritersRefused,
    WritersSeen,
)
from tui.orders import Wait
from tui.threads.link_job import LinkJob
from tui.waiting import INTERVAL_S, see_every_write
from widgets.rate_chart import ChartPoint

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.chain import Chain

ADVICE_S: Final = 0.45
"""Advice is given no more often: it takes some 15 ms of CPU. Less than `INTERVAL_S`, so that a trigger
which waits is shown every tick."""
HEAT_COLUMNS: Final = 600
"""How many ticks the heat map remembers; a column is a few KiB."""
HISTORY_POINTS: Final = 900
"""How many ticks the chart remembers: a quarter of an hour at one a second."""


@dataclass(frozen=True, slots=True)
class _Arm:
    """Count since-armed from zero."""

    even_if_lent: bool = False


@dataclass(frozen=True, slots=True)
class _SetMode:
    mode: RateMode


@dataclass(frozen=True, slots=True)
class _SetInterval:
    interval_s: float


@dataclass(frozen=True, slots=True)
class _Stop:
    """Close the session and end, once this job has ended."""

    job: LinkJob | None


@dataclass(frozen=True, slots=True)
class _WaitFor:
    """Show a trigger every tick."""

    wait: Wait


@dataclass(frozen=True, slots=True)
class _StopWaiting:
    """Show it none any more."""

    keeps_chain: bool


@dataclass(frozen=True, slots=True)
class _Follow:
    """Ask this chain at every tick what its next link will be."""

    chain: Chain


@dataclass(frozen=True, slots=True)
class _WatchWriters:
    """Find out which code writes the target; or no more."""

    begin: Callable[[Tracking], WriterWatching] | None


_Command = _Arm | _SetMode | _SetInterval | _WaitFor | _StopWaiting | _Follow | _WatchWriters | _Stop


class Sampler:
    """Opens a target, ticks at a steady interval and posts what it sees, until stopped.

    Args:
        pid: of the target.
        opening: takes the target; called in the thread, because it may have to stop processes.
        post: where messages go; must be safe to call from a thread.
        interval_s: from tick to tick.
        arm: whether to arm as soon as the target is open.
    """

    def __init__(
        self,
        pid: int,
        opening: Callable[[], Tracking],
        post: Post,
        *,
        interval_s: float,
        arm: bool,
    ) -> None:
        self.tracking: Tracking | None = None
        self.advisor = Advisor()
        """Sees every tick while armed; jobs tell it of links."""
        self._advice = NO_ADVICE
        self._wait: Wait | None = None
        self._chain: Chain | None = None
        self._mode_before: RateMode | None = None
        self._writers: WriterWatching | None = None
        self._opening = opening
        self._post = post
        self._interval_s = interval_s
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        if arm:
            self._commands.put(_Arm())
        self._history: deque[ChartPoint] = deque(maxlen=HISTORY_POINTS)
        self._heat: deque[HeatColumn] = deque(maxlen=HEAT_COLUMNS)
        self._turn = threading.Lock()  # held while the target may be stopped
        self._thread = threading.Thread(target=self._run, name=f"sample {pid}", daemon=True)

    def start(self) -> None:
        """Begin. A sampler runs once."""
        self._thread.start()

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Have the target armed, or armed once more; the next tick follows at once.

        Args:
            even_if_lent: clear soft-dirty bits even if a chain of CRIU's relies on them.
        """
        self._commands.put(_Arm(even_if_lent))

    def set_mode(self, mode: RateMode) -> None:
        """Switch the tracker's mode."""
        self._commands.put(_SetMode(mode))

    def set_interval(self, interval_s: float) -> None:
        """Tick at another pace, from now on."""
        self._commands.put(_SetInterval(interval_s))

    def wait_for(self, wait: Wait) -> None:
        """Have this trigger shown every tick; what it decides is posted.

        Meanwhile ticks are no further apart than `INTERVAL_S`, and tell every write.
        """
        self._commands.put(_WaitFor(wait))

    def stop_waiting(self, *, keeps_chain: bool) -> None:
        """Wait for nothing any more.

        Args:
            keeps_chain: the chain that the trigger would have begun was not begun; one under way goes on.
        """
        self._commands.put(_StopWaiting(keeps_chain))

    def follow(self, chain: Chain) -> None:
        """Tell with every tick whether the next link of this chain will be a full one."""
        self._commands.put(_Follow(chain))

    def watch_writers(self, begin: Callable[[Tracking], WriterWatching]) -> None:
        """Tell with every tick which code has written the target, from now on.

        Args:
            begin: opens what finds it out; called in the thread.
        """
        self._commands.put(_WatchWriters(begin))

    def stop_watching_writers(self) -> None:
        """Find that out no more."""
        self._commands.put(_WatchWriters(None))

    def stop(self, job: LinkJob | None = None) -> None:
        """Ask it to let go of the target, once `job` no longer needs it; see `join`."""
        self._commands.put(_Stop(job))

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[bool]:
        """Keep it from touching the target meanwhile; False if it could not be kept in time.

        This program must not be suspended while a target is stopped for a tick.
        """
        kept = self._turn.acquire(timeout=timeout_s)
        try:
            yield kept
        finally:
            if kept:
                self._turn.release()

    def join(self, timeout_s: float) -> bool:
        """Wait until the target has been let go; False if that took too long."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            tracking = self._opening()
        except DirtytopError as error:
            self._post(SamplingFailed(error))
            return
        with closing(tracking):
            self.tracking = tracking
            self._post(TargetOpened(tracking.tracker, tracking.modes))
            try:
                stop = self._watch(tracking)
            except DirtytopError as error:
                self._post(SamplingFailed(error))
                stop = None
            finally:
                self._close_writers()
            # A target that is gone stays open until it is left: a dump of it may still be going on.
            while stop is None:
                command = self._commands.get()
                stop = command if isinstance(command, _Stop) else None
            if stop.job is not None:
                stop.job.join(None)

    def _watch(self, tracking: Tracking) -> _Stop | None:
        """Tick until told to stop, or until there is nothing left to watch."""
        driver = Driver(tracking, self.advisor, self._interval_s, advice_every_s=ADVICE_S, turn=self._turn)
        while True:
            while (command := self._next_command(driver.left_s())) is not None:
                match command:
                    case _Stop():
                        return command
                    case _SetInterval(interval_s):
                        self._interval_s = interval_s
                    case _Arm() | _SetMode():
                        self._obey(tracking, command)
                        driver.at_once()
                    case _WaitFor(wait):
                        self._begin_to_wait(tracking, wait)
                        driver.at_once()
                    case _StopWaiting(keeps_chain):
                        self._stop_waiting(tracking, keeps_chain=keeps_chain)
                    case _Follow(chain):
                        self._chain = chain
                    case _WatchWriters(begin):
                        self._watch_writers(tracking, begin)
                waits = self._wait is not None
                driver.interval_s = min(self._interval_s, INTERVAL_S) if waits else self._interval_s
            if not self._tell(driver.tick(), tracking):
                return None

    def _next_command(self, wait_s: float) -> _Command | None:
        """The next command; None once it is time to tick."""
        try:
            return self._commands.get(timeout=wait_s) if wait_s > 0 else self._commands.get_nowait()
        except queue.Empty:
            return None

    def _obey(self, tracking: Tracking, command: _Arm | _SetMode) -> None:
        try:
            with self._turn:
                if isinstance(command, _Arm):
                    tracking.arm(even_if_lent=command.even_if_lent)
                    self._history.clear()
                    self._heat.clear()
                else:
                    tracking.set_mode(command.mode)
        except DirtytopError as error:
            self._post(CommandFailed(error))

    def _watch_writers(self, tracking: Tracking, begin: Callable[[Tracking], WriterWatching] | None) -> None:
        self._close_writers()
        if begin is None:
            if self._wait is None:
                self._go_back_to_mode(tracking)
            return
        try:
            with self._turn:
                if not tracking.is_armed:
                    tracking.arm()
                before = see_every_write(tracking)
                self._writers = begin(tracking)
        except DirtytopError as error:
            self._post(WritersRefused(error))
            return
        if before is not None:
            self._mode_before = before

    def _close_writers(self) -> None:
        writers, self._writers = self._writers, None
        if writers is not None:
            writers.close()

    def _begin_to_wait(self, tracking: Tracking, wait: Wait) -> None:
        """The same as `dirtytop checkpoint --when` does before it waits."""
        try:
            with self._turn:
                if not tracking.is_armed:
                    tracking.arm()
                before = see_every_write(tracking)
        except DirtytopError as error:
            self._post(TriggerRefused(wait, error))
            return
        if before is not None:
            self._mode_before = before
        order = wait.request.chain
        if order is not None:
            self.advisor.chain_begun(is_new=not order.is_there)
        self.advisor.arm(wait.trigger, datetime.now())
        self._wait = wait

    def _stop_waiting(self, tracking: Tracking, *, keeps_chain: bool) -> None:
        self.advisor.disarm()
        if keeps_chain and self._wait is not None and self._wait.request.chain is not None:
            self.advisor.chain_begun(is_new=False)
        self._wait = None
        if self._writers is None:
            self._go_back_to_mode(tracking)

    def _go_back_to_mode(self, tracking: Tracking) -> None:
        """Nothing needs every write any more: the mode is again the one that the user chose."""
        mode, self._mode_before = self._mode_before, None
        if mode is not None and not tracking.is_lent:
            self._obey(tracking, _SetMode(mode))

    def _tell(self, tick: Tick, tracking: Tracking) -> bool:
        """Post what was seen; False if there is nothing left to look at."""
        sample, armed, lent = tick.sample, tracking.is_armed, tracking.is_lent
        if sample.events:
            self._post(EventsSeen(sample.events))
        if not sample.processes:
            self._post(Sampled(sample, armed, tuple(self._history), lent=lent))
            return False
        if self._writers is not None:
            self._post(WritersSeen(self._writers.observe(sample)))
        if tick.advice is not None:
            self._advice = tick.advice
            decision = self._advice.decision
            if self._wait is not None and decision.action is not Action.WAIT:
                self._post(TriggerDecided(self._wait, decision))
        if not tick.is_shown:
            return True
        self._history.append(chart_point(sample, armed=armed))
        if armed and sample.number > 0:
            self._heat.append(sample.heat)
        history, heat = tuple(self._history), tuple(self._heat)
        why_full = self._chain.why_full if self._chain is not None else ""
        self._post(Sampled(sample, armed, history, lent, self._advice, heat, why_full))
        return True


def chart_point(sample: Sample, *, armed: bool) -> ChartPoint:
    """What the chart remembers of a tick."""
    # The first tick after arming has hardly any interval behind it: a gap, not a rate.
    rate = sample.bytes_per_s if armed and sample.number else math.nan
    since_armed = float(sample.totals.since_armed_pages * sample.page_bytes) if armed else math.nan
    return ChartPoint(sample.time_s, rate, since_armed)
