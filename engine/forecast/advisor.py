"""The forecast of one target as a program uses it: from ticks, links and a disk to advice.

An `Advisor` gives the parts that know no clock (`CostBook`, `Forecaster`, `CloseLook`, `Armed`) what happens:
it is shown every sample, measures the directory that links will go to, and is told of each link as it begins
and ends. It also says how soon the next tick is needed, because now and then a few must come close together.

Any thread may use it: usually one ticks, one makes links, and one calibrates. Nothing here stops or changes a
target. The loop around it is `engine.forecast.driver`; links are made by `engine.forecast.making`.
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
from engine.forecast.costs.book import CostBook
from engine.forecast.costs.calibrate import device_of, probe
from engine.forecast.costs.model import CostModel
from engine.forecast.estimate import NOTHING, Estimate
from engine.forecast.forecaster import Forecaster
from engine.forecast.plans.snapshot import DumpInterval, best_interval
from engine.forecast.plans.truth import Truth
from engine.forecast.plans.verdict import Forecast
from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.forecast.triggers.armed import Action, Armed, Decision, Moment
from engine.forecast.triggers.conditions import Trigger
from engine.forecast.triggers.progress import TriggerProgress, gauges_of
from engine.forecast.writes.close_look import CloseLook
from engine.forecast.writes.rhythm import Rhythm
from engine.images.layout import LinkKind
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import Sample

_NOTHING_ARMED: Final = Decision(Action.WAIT, "no trigger is set")
_LINK_UNDER_WAY: Final = Decision(Action.WAIT, "a link is being made")


@dataclass(frozen=True, slots=True)
class Advice:
    """All there is to say after a tick. Immutable: it may be handed to any thread."""

    forecast: Forecast
    rhythm: Rhythm
    truth: Truth
    """How right the forecasts until now were."""
    costs: CostModel | None = None
    """None until calibrated: then there is no forecast either."""
    armed: Armed | None = None
    """The trigger that waits, if one does."""
    decision: Decision = _NOTHING_ARMED
    """What the trigger asks for. A link is asked for once, and then expected to begin."""
    gauges: tuple[TriggerProgress, ...] = ()
    """How near the trigger is to firing."""


NO_ADVICE: Final = Advice(Forecast(0.0, STOP_BUDGET_S), Rhythm(), Truth())


@final
class Advisor:
    """Advice on one target."""

    def __init__(self, *, budget_s: float = STOP_BUDGET_S) -> None:
        """Know nothing yet.

        Args:
            budget_s: how long the target may stop at the end; 0 asks for the shortest stop.
        """
        self._lock = threading.Lock()
        self._budget_s = budget_s
        self._costs = CostBook()
        self._forecaster = Forecaster()
        self._close_look = CloseLook()
        self._armed: Armed | None = None
        self._links_under_way = 0
        self._asked = False

    # -- ticks

    def see(self, sample: Sample) -> None:
        """Take in a tick; one without processes ends nothing and adds nothing."""
        if not sample.processes:
            return
        with self._lock:
            self._costs.see(sample)
            self._forecaster.see(sample)
            self._close_look.ticked(self._forecaster.looks[-1], self._forecaster.rhythm)

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
        """Whether a close look has begun and is not over: the rate of the last tick is not worth showing."""
        with self._lock:
            return self._close_look.is_under_way

    # -- what links cost

    def needs_probe(self, directory: Path) -> bool:
        """Whether `calibrate` would write to this directory's file system. Raises LinkFailed."""
        device = device_of(directory)
        with self._lock:
            return not self._costs.is_probed(device)

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
            is_probed = self._costs.is_probed(device)
        parts = None if is_probed else probe(directory, cancelled)
        with self._lock:
            if parts is not None:
                self._costs.keep_probe(device, parts)
            self._costs.choose(engine, device, can_pre_dump=can_pre_dump)

    def set_budget(self, budget_s: float) -> None:
        """How long the target may stop at the end, from now on; 0 asks for the shortest stop."""
        with self._lock:
            self._budget_s = budget_s

    # -- advice

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
                self._costs.model,
                self._armed,
                decision,
                gauges,
            )

    def _foresee(self, now_s: float | None) -> Forecast:
        forecast = self._forecaster.forecast(self._costs.model, self._budget_s, now_s)
        if forecast.is_rough:
            self._close_look.want(forecast.time_s)
        return forecast

    def pages_within(self, span_s: float) -> Estimate | None:
        """Distinct pages that will be written within so many seconds; None if nothing is known yet."""
        with self._lock:
            return self._forecaster.pages_within(span_s)

    def best_interval(self, mtbf_s: float) -> DumpInterval | None:
        """How often to dump if the program fails so often on average; None if nothing is known yet.

        Args:
            mtbf_s: mean time between failures, seconds.
        """
        with self._lock:
            costs, forecaster = self._costs.model, self._forecaster
            if costs is None or forecaster.pages_within(1.0) is None:
                return None

            def stop_s(pages: Estimate) -> Estimate:
                sizes = (page * PAGE_SIZE for page in (pages.low, pages.mid, pages.high))
                low, mid, high = (costs.stop(size) for size in sizes)
                return Estimate.around(low.low, mid.mid, high.high)

            return best_interval(lambda span_s: forecaster.pages_within(span_s) or NOTHING, stop_s, mtbf_s)

    # -- triggers

    def arm(self, trigger: Trigger, clock: datetime, now_s: float | None = None) -> None:
        """Wait for this from now on, and for nothing else. `clock` is local time."""
        with self._lock:
            self._armed = Armed.arm(trigger, time.monotonic() if now_s is None else now_s, clock)
            self._asked = False

    def disarm(self) -> None:
        """Wait for nothing any more. A link that has begun goes on."""
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
            is_new: whether the chain has no links yet. Otherwise samples say what is pending.
        """
        with self._lock:
            self._forecaster.forget_links(is_new=is_new)

    @contextmanager
    def link(self, kind: LinkKind, after: After = After.RUN) -> Iterator[Callable[[LinkResult], None]]:
        """Note what is foreseen of a link, and keep it beside what comes.

        Yields what the result is to be told to. Without a result the link was not made.
        """
        with self._lock:
            self._links_under_way += 1
            foreseen = self._forecaster.next_link(self._costs.model, kind, time.monotonic())

        def made(result: LinkResult) -> None:
            with self._lock:
                ended_s = time.monotonic()
                self._costs.learn(result, after)
                self._forecaster.link_made(result, ended_s, foreseen, after)
                if result.kind is LinkKind.PRE_DUMP:
                    self._close_look.link_made(ended_s)

        try:
            yield made
        finally:
            with self._lock:
                self._links_under_way -= 1
                self._asked = False
                if self._armed is not None and self._armed.is_done:
                    self._armed = None
