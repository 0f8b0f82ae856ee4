"""The forecast of one target as a program uses it: from ticks, links and a disk to advice.

An `Advisor` joins what knows no clock (`Forecaster`, `Armed`) with what happens: it is shown every
sample, measures the directory that links will go to, is told of each link as it begins and ends, and
says when the next tick is due, because now and then a few ticks close together are needed (a close look).

It may be used from several threads, as in: one that ticks, one that makes links, one that calibrates.
Nothing here stops or changes a target; making links is left to the caller. The loop around it is
`engine.forecast.driver`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, final

from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, never
from engine.forecast.calibrate import device_of, probe
from engine.forecast.close_look import CloseLook
from engine.forecast.cost_model import CostModel
from engine.forecast.forecaster import Forecaster
from engine.forecast.gauge import TriggerProgress, gauges_of
from engine.forecast.look import pages_saved_anyway
from engine.forecast.parts import Parts
from engine.forecast.rhythm import Rhythm
from engine.forecast.rounds import MOST_PRE_DUMPS, LinkForecast
from engine.forecast.trigger import Action, Armed, Decision, Moment, Trigger
from engine.forecast.truth import Truth
from engine.forecast.verdict import STOP_BUDGET_S, Forecast
from engine.images.layout import LinkKind
from engine.tracking.sample import Sample
from engine.tracking.trackers import abilities_of

_NOTHING_ARMED: Final = Decision(Action.WAIT, "no trigger is armed")
_LINK_UNDER_WAY: Final = Decision(Action.WAIT, "a link is being made")

Place = tuple[Engine, int]
"""What costs are kept for: who makes links, and the file system that they go to."""


@dataclass(frozen=True, slots=True)
class Advice:
    """All that is said after a tick. Immutable: it may be handed to any thread."""

    forecast: Forecast
    rhythm: Rhythm
    truth: Truth
    """How right the forecasts until now were."""
    costs: CostModel | None = None
    """None until calibrated: then there is no forecast either."""
    armed: Armed | None = None
    """The trigger that waits, if one does."""
    decision: Decision = _NOTHING_ARMED
    """What the trigger says. It is said once: after anything but WAIT a link is expected to begin."""
    gauges: tuple[TriggerProgress, ...] = ()
    """How near the trigger is to firing."""


NO_ADVICE: Final = Advice(Forecast(0.0, STOP_BUDGET_S), Rhythm(), Truth())


@final
class Advisor:
    """Advice on one target."""

    def __init__(self, *, budget_s: float = STOP_BUDGET_S, think_s: float = 0.0) -> None:
        """Know nothing yet.

        Args:
            budget_s: how long the target may stop at the end; 0 asks for the shortest stop.
            think_s: the pause that is usual between two links of a chain.
        """
        self._lock = threading.Lock()
        self._forecaster = Forecaster(budget_s=budget_s, think_s=think_s)
        self._close_look = CloseLook()
        self._newest: Sample | None = None
        self._parts: dict[int, Parts] = {}
        self._costs: dict[Place, CostModel] = {}
        self._place: Place | None = None
        self._armed: Armed | None = None
        self._links_under_way = 0
        self._asked = False

    # -- ticks

    def see(self, sample: Sample) -> None:
        """Take in a tick; one without processes ends nothing and adds nothing."""
        if not sample.processes:
            return
        with self._lock:
            self._newest = sample
            self._forecaster.see(sample)
            self._close_look.ticked(self._forecaster.looks[-1], self._forecaster.rhythm)
            if self._place is not None and self._place not in self._costs:
                self._guess_costs()

    def next_decision_s(self) -> float:
        """How soon the trigger has to decide something; infinite if none does. A tick must not come later."""
        with self._lock:
            armed = self._armed
        return math.inf if armed is None else armed.next_s(time.monotonic(), datetime.now())

    def gap_s(self, interval_s: float) -> float:
        """How long to wait from the last tick to the next, if ticks are usually `interval_s` apart."""
        with self._lock:
            return self._close_look.gap_s(interval_s)

    @property
    def is_looking_closely(self) -> bool:
        """Whether a close look has begun and is not over: the last tick is not one to be shown."""
        with self._lock:
            return self._close_look.is_under_way

    def look_closely(self) -> None:
        """Have the next ticks close together, as before links that are about to be made."""
        with self._lock:
            self._close_look.ask()

    # -- what links cost

    def needs_probe(self, directory: Path) -> bool:
        """Whether `calibrate` would write to this directory's file system. Raises LinkFailed."""
        device = device_of(directory)
        with self._lock:
            return device not in self._parts

    def calibrate(
        self,
        directory: Path,
        engine: Engine = Engine.MEMORY,
        *,
        can_pre_dump: bool = True,
        cancelled: Cancelled = never,
    ) -> None:
        """Measure what links to this directory will cost, unless its file system was measured before.

        Takes up to a second, and keeps nobody from ticking meanwhile.

        Args:
            directory: where links are to go; it need not be there yet.
            engine: who is to make them.
            can_pre_dump: whether that engine can pre-dump this target; if not, only a dump is foreseen.
            cancelled: asked between pieces.

        Raises:
            LinkFailed: nothing can be written there. What was calibrated before still holds.
            Cancelled: `cancelled` said so.
        """
        device = device_of(directory)
        with self._lock:
            parts = self._parts.get(device)
        if parts is None:
            parts = probe(directory, cancelled)
        with self._lock:
            self._keep_costs()
            self._parts[device] = parts
            self._place = engine, device
            self._forecaster.costs = self._costs.get(self._place)
            self._forecaster.most_pre_dumps = MOST_PRE_DUMPS if can_pre_dump else 0
            if self._forecaster.costs is None:
                self._guess_costs()

    def _guess_costs(self) -> None:
        """A first guess needs both the probe and a tick."""
        assert self._place is not None
        if self._newest is None:
            return
        engine, device = self._place
        self._forecaster.costs = self._costs[self._place] = CostModel.first_guess(
            engine,
            self._parts[device],
            self._newest.tick_ms / 1e3,
            len(self._newest.processes),
            present_pages=self._newest.totals.present_pages,
            anyway_pages=pages_saved_anyway(self._newest),
            soft_dirty=abilities_of(self._newest.tracker).stops_to_rearm,
        )

    def _keep_costs(self) -> None:
        if self._place is not None and self._forecaster.costs is not None:
            self._costs[self._place] = self._forecaster.costs

    def set_budget(self, budget_s: float) -> None:
        """How long the target may stop at the end, from now on; 0 asks for the shortest stop."""
        with self._lock:
            self._forecaster.budget_s = budget_s

    # -- advice

    @property
    def truth(self) -> Truth:
        """How right the forecasts until now were."""
        with self._lock:
            return self._forecaster.truth

    def forecast(self, now_s: float | None = None) -> Forecast:
        """What a chain begun at `now_s` (monotonic) would be like; None: at the newest sample."""
        with self._lock:
            return self._foresee(now_s)

    def advise(self, clock: datetime, now_s: float | None = None) -> Advice:
        """All there is to say now, and what the armed trigger says to do.

        Args:
            clock: local time.
            now_s: monotonic; None takes that of the newest sample.
        """
        with self._lock:
            forecast = self._foresee(now_s)
            decision = _NOTHING_ARMED
            gauges: tuple[TriggerProgress, ...] = ()
            if self._armed is not None:
                moment = Moment(forecast.time_s, clock, forecast, self._forecaster.rhythm)
                gauges = gauges_of(self._armed, moment)
                decision = self._decide(moment)
            return Advice(
                forecast,
                self._forecaster.rhythm,
                self._forecaster.truth,
                self._forecaster.costs,
                self._armed,
                decision,
                gauges,
            )

    def another_pre_dump_pays(self) -> bool:
        """Whether, right after a pre-dump, another one would make the stop shorter; takes no tick."""
        with self._lock:
            return self._forecaster.another_pays(time.monotonic())

    def _foresee(self, now_s: float | None) -> Forecast:
        forecast = self._forecaster.forecast(now_s)
        if forecast.is_rough:
            self._close_look.want(forecast.time_s)
        return forecast

    # -- triggers

    def arm(self, trigger: Trigger, clock: datetime, now_s: float | None = None) -> None:
        """Wait for this, from now on, in place of whatever was waited for. `clock` is local time."""
        with self._lock:
            self._armed = Armed.arm(trigger, time.monotonic() if now_s is None else now_s, clock)
            self._asked = False

    def disarm(self) -> None:
        """Wait for nothing any more; a link that has begun is not ended by it."""
        with self._lock:
            self._armed = None

    def _decide(self, moment: Moment) -> Decision:
        assert self._armed is not None
        if self._links_under_way or self._asked:
            return _LINK_UNDER_WAY
        self._armed, decision = self._armed.step(moment)
        # Until the link that was asked for begins (and ends), nothing more is asked for.
        self._asked = decision.action in (Action.PRE_DUMP, Action.DUMP)
        return decision

    # -- links

    def chain_begun(self, *, is_new: bool = True) -> None:
        """Links made from now on belong to another chain; what they cost is still known.

        Args:
            is_new: whether it has no links yet. If it was begun earlier, what is pending is as samples say.
        """
        with self._lock:
            self._forecaster.forget_links(is_new=is_new)

    @contextmanager
    def link(
        self, kind: LinkKind, after: After = After.RUN
    ) -> Iterator[Callable[[LinkResult], LinkForecast | None]]:
        """Note what is foreseen of a link, and keep it beside what comes.

        Gives what the result is to be told to, which returns what had been foreseen of it (None if nothing
        was known). Left without a result, the link was not made.
        """
        with self._lock:
            self._links_under_way += 1
            foreseen = self._forecaster.next_link(kind, time.monotonic())

        def made(result: LinkResult) -> LinkForecast | None:
            with self._lock:
                ended_s = time.monotonic()
                self._forecaster.link_made(result, ended_s, foreseen, after)
                if result.kind is LinkKind.PRE_DUMP:
                    self._close_look.link_made(ended_s)
                self._keep_costs()
            return foreseen

        try:
            yield made
        finally:
            with self._lock:
                self._links_under_way -= 1
                self._asked = False
                if self._armed is not None and self._armed.is_done:
                    self._armed = None
