"""The thread that watches one target.

Each target has a thread of its own for as long as it is watched: a slow target delays nobody, and
leaving waits for no thread pool. Everything it finds is posted to the app as a message; everything
it is told comes through a queue, which is also its clock: it sleeps by waiting for the next command.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from textual.message import Message

from engine.errors import DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advisor
from engine.tracking.heat import HeatColumn
from engine.tracking.sample import RateMode, Sample
from tui.messages import CommandFailed, EventsSeen, Sampled, SamplingFailed, TargetOpened
from widgets.rate_chart import ChartPoint

if TYPE_CHECKING:
    from tui.backend import Tracking
    from tui.jobs import LinkJob
    from tui.target import Target

ADVICE_S: Final = 0.5
"""Advice is given anew no more often: it takes some 15 ms of CPU."""
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


_Command = _Arm | _SetMode | _SetInterval | _Stop


class Sampler:
    """Opens a target, ticks at a steady interval and posts what it sees, until stopped.

    Args:
        target: named in every message.
        opening: takes the target; called in the thread, because it may have to stop processes.
        post: where messages go; must be safe to call from a thread.
        interval_s: from tick to tick.
        arm: whether to arm as soon as the target is open.
    """

    def __init__(
        self,
        target: Target,
        opening: Callable[[], Tracking],
        post: Callable[[Message], object],
        *,
        interval_s: float,
        arm: bool,
    ) -> None:
        self.tracking: Tracking | None = None
        self.advisor = Advisor()
        """Sees every tick while armed; jobs tell it of links."""
        self._advice = NO_ADVICE
        self._advised_s = -math.inf
        self._target = target
        self._opening = opening
        self._post = post
        self._interval_s = interval_s
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        if arm:
            self._commands.put(_Arm())
        self._history: deque[ChartPoint] = deque(maxlen=HISTORY_POINTS)
        self._heat: deque[HeatColumn] = deque(maxlen=HEAT_COLUMNS)
        self._turn = threading.Lock()  # held while the target may be stopped
        self._thread = threading.Thread(target=self._run, name=f"sample {target.pid}", daemon=True)

    def start(self) -> None:
        """Begin. A sampler runs once."""
        self._thread.start()

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Have the target armed, or armed anew; the next tick follows at once.

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

    def stop(self, job: LinkJob | None = None) -> None:
        """Ask it to let go of the target, once `job` no longer needs it; see `join`."""
        self._commands.put(_Stop(job))

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[bool]:
        """Keep it from touching the target meanwhile; False if it could not be kept in time.

        Whoever suspends this program must do so while no target is stopped for a tick.
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
            self._post(SamplingFailed(self._target, error))
            return
        with closing(tracking):
            self.tracking = tracking
            self._post(TargetOpened(self._target, tracking.tracker, tracking.modes))
            try:
                stop = self._watch(tracking)
            except DirtytopError as error:
                self._post(SamplingFailed(self._target, error))
                stop = None
            # A target that is gone stays open until it is left: a dump of it may still be going on.
            while stop is None:
                command = self._commands.get()
                stop = command if isinstance(command, _Stop) else None
            if stop.job is not None:
                stop.job.join(None)

    def _watch(self, tracking: Tracking) -> _Stop | None:
        """Tick until told to stop, or until there is nothing left to watch."""
        due = time.monotonic()
        while True:
            while (command := self._next_command(due)) is not None:
                match command:
                    case _Stop():
                        return command
                    case _SetInterval(interval_s):
                        due += interval_s - self._interval_s
                        self._interval_s = interval_s
                    case _Arm() | _SetMode():
                        self._obey(tracking, command)
                        due = time.monotonic()
            if not self._tick(tracking):
                return None
            # Late once is late once: a missed tick is not made up for by two in a row.
            due = max(due + self.advisor.gap_s(self._interval_s), time.monotonic())

    def _next_command(self, due: float) -> _Command | None:
        """The next command; None once it is time to tick."""
        try:
            wait_s = due - time.monotonic()
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
            self._post(CommandFailed(self._target, error))

    def _tick(self, tracking: Tracking) -> bool:
        """Look, and post what was seen; False if there is nothing left to look at."""
        with self._turn:
            sample = tracking.tick()
            lent = tracking.is_lent
        if sample.events:
            self._post(EventsSeen(self._target, sample.events))
        if not sample.processes:
            self._post(Sampled(self._target, sample, tracking.is_armed, tuple(self._history), lent=lent))
            return False
        if tracking.is_armed and not self._advise(sample):
            return True
        self._history.append(chart_point(sample, armed=tracking.is_armed))
        if tracking.is_armed and sample.number > 0:
            self._heat.append(sample.heat)
        history, heat = tuple(self._history), tuple(self._heat)
        self._post(
            Sampled(
                self._target, sample, tracking.is_armed, history, lent=lent, advice=self._advice, heat=heat
            )
        )
        return True

    def _advise(self, sample: Sample) -> bool:
        """Learn from a tick; False if it is one of a few close together, whose rates are not to be shown."""
        self.advisor.see(sample)
        if self.advisor.is_looking_closely:
            return False
        now_s = time.monotonic()
        if now_s - self._advised_s >= ADVICE_S:
            self._advised_s = now_s
            self._advice = self.advisor.advise(datetime.now())
        return True


def chart_point(sample: Sample, *, armed: bool) -> ChartPoint:
    """What the chart remembers of a tick."""
    # The first tick after arming has hardly any interval behind it: a gap, not a rate.
    rate = sample.bytes_per_s if armed and sample.number else math.nan
    return ChartPoint(sample.time_s, rate, float(sample.totals.since_armed_pages * sample.page_bytes))
