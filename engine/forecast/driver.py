"""Ticks of one target at a steady pace, each with what there is to say of it.

This is the loop of every program that watches a target and asks when to dump it. It knows no viewer: the
command line goes through `ticks` with a `for`; the dashboard's thread asks for one `tick` after the other,
because between two it also has orders to obey.

    driver = Driver(session, advisor, interval_s)
    for tick in driver.ticks(interruption.wait):
        if tick.advice is not None and tick.advice.decision.action is Action.DUMP:
            make_link(advisor, chain, LinkKind.DUMP, after)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, final

from engine.forecast.advisor import Advice, Advisor
from engine.tracking.sample import Sample


class Watched(Protocol):
    """What is ticked (`engine.tracking.session.Session`)."""

    @property
    def is_armed(self) -> bool:
        """Whether writes are being seen."""
        ...

    def tick(self) -> Sample:
        """Look once; a sample without processes says that the target is gone."""
        ...

    def paced_s(self, asked_s: float, within_s: float = ...) -> float:
        """How long after the last tick the next is to come, as the cost budget allows."""
        ...


@dataclass(frozen=True, slots=True)
class Tick:
    """One look at the target, and what was made of it."""

    sample: Sample
    advice: Advice | None = None
    """None if there is nothing new to say: the target is not armed, looked at closely, or it is too soon."""
    is_shown: bool = True
    """False of all but the first of a few ticks close together: their rates are of no use to a viewer."""


@final
class Driver:
    """Says when the next tick is due, makes it, and asks for advice."""

    def __init__(
        self,
        session: Watched,
        advisor: Advisor,
        interval_s: float,
        *,
        advice_every_s: float = 0.0,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """The first tick is due at once.

        Args:
            session: the target.
            advisor: is shown every tick while the target is armed.
            interval_s: from tick to tick. It may be changed at any time.
            advice_every_s: advice is given no more often; it takes some 15 ms of CPU.
            turn: entered while the target is looked at.
        """
        self.interval_s = interval_s
        self._session = session
        self._advisor = advisor
        self._advice_every_s = advice_every_s
        self._turn = turn if turn is not None else nullcontext()
        self._due_s = -math.inf
        """When the last tick was due, by `time.monotonic`; long ago: the next is due at once."""
        self._advised_s = -math.inf

    def at_once(self) -> None:
        """Have the next tick made now, and new advice given with it."""
        self._due_s = self._advised_s = -math.inf

    def left_s(self) -> float:
        """How long until the next tick is due, in seconds; negative if it is late."""
        return self._next_s() - time.monotonic()

    def ticks(self, wait: Callable[[float], bool]) -> Iterator[Tick]:
        """One tick after the other; the last one, without processes, says that the target has gone.

        Args:
            wait: waits for so many seconds, or until it is time to end; whether that was so.

        Raises:
            As of `Session.tick`.
        """
        while not wait(max(0.0, self.left_s())):
            tick = self.tick()
            yield tick
            if not tick.sample.processes:
                return

    def tick(self) -> Tick:
        """Look at the target now. Errors as of `Session.tick`."""
        # Late once is late once: a missed tick is not made up for by two in a row.
        self._due_s = max(self._next_s(), time.monotonic())
        was_close = self._advisor.is_looking_closely
        with self._turn:
            sample = self._session.tick()
        if not sample.processes or not self._session.is_armed:
            return Tick(sample)
        self._advisor.see(sample)
        return Tick(sample, self._advise(), is_shown=not was_close)

    def _next_s(self) -> float:
        gap_s = self._advisor.gap_s(self.interval_s)
        return self._due_s + self._session.paced_s(gap_s, self._advisor.next_decision_s())

    def _advise(self) -> Advice | None:
        now_s = time.monotonic()
        if self._advisor.is_looking_closely or now_s - self._advised_s < self._advice_every_s:
            return None
        self._advised_s = now_s
        return self._advisor.advise(datetime.now())
