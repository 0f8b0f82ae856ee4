"""A trigger that waits: a state machine that is shown moments and says what to do.

It touches nothing. The caller makes the links that it asks for, and shows it the next moment when they are
made. Conditions ask for pre-dumps as well: `stop < X` for those that bring the stop below X, if there are
such; `at` for those that the forecast advises, shortly before its time; `quiet` for the same ones, once the
target is quiet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import Enum
from typing import Final

from engine.forecast.plans.rounds import MOST_PRE_DUMPS, Plan, say_pre_dumps
from engine.forecast.plans.verdict import Forecast
from engine.forecast.stop_budget import is_met
from engine.forecast.triggers.conditions import (
    AnyOf,
    AtDeadline,
    AtTime,
    Condition,
    Every,
    QuietFor,
    StopBelow,
    Trigger,
)
from engine.forecast.writes.rhythm import Rhythm, State
from engine.units import say_duration, say_stop

_NO_GAIN: Final = 0.9
_AHEAD: Final = 2.0
"""Before a fixed time a pre-dump is begun when this many times its duration is left."""


class Action(Enum):
    """What to do now."""

    WAIT = "wait"
    PRE_DUMP = "pre-dump"
    DUMP = "dump"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is the case now."""

    time_s: float
    """Monotonic."""
    clock: datetime
    """Local time."""
    forecast: Forecast
    rhythm: Rhythm


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, in words."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Armed:
    """A trigger that waits. Immutable: `step` gives the next."""

    trigger: Trigger
    since_s: float
    due: datetime | None = None
    """The first fixed time that is waited for, if there is one."""
    pre_dumps: int = 0
    """How many it has asked for."""
    last_pre_dump_s: float | None = None
    is_done: bool = False
    """Whether it has asked for the dump, or given up. It asks for nothing more."""

    @classmethod
    def arm(cls, trigger: Trigger, time_s: float, clock: datetime) -> Armed:
        """Begin to wait. `time_s` is monotonic, `clock` local time."""
        condition = trigger.condition
        each = condition.conditions if isinstance(condition, AnyOf) else (condition,)
        dues = [_next(one.clock, clock) for one in each if isinstance(one, AtTime)]
        return cls(trigger, time_s, min(dues, default=None))

    def left_s(self, time_s: float) -> float | None:
        """Until the deadline."""
        if self.trigger.deadline_s is None:
            return None
        return max(0.0, self.since_s + self.trigger.deadline_s - time_s)

    def next_s(self, time_s: float, clock: datetime) -> float:
        """How soon something has to be decided whatever the target does; infinite if nothing has to."""
        left_s = [math.inf if (left_s := self.left_s(time_s)) is None else left_s]
        if self.due is not None:
            left_s.append((self.due - clock).total_seconds())
        every_s, last_s = self.trigger.pre_dump_every_s, self.last_pre_dump_s
        if every_s is not None and last_s is not None and self.trigger.may_pre_dump:
            left_s.append(last_s + every_s - time_s)
        return max(0.0, min(left_s))

    def step(self, moment: Moment) -> tuple[Armed, Decision]:
        """Decide.

        A pre-dump that is asked for counts as made. If it fails, show the next moment all the same; after a
        dump that failed, arm the trigger again.
        """
        if self.is_done:
            return self, Decision(Action.WAIT, "the trigger is done")
        decision = self._decide(self.trigger.condition, moment)
        if decision.action is Action.WAIT and self._is_pre_dump_due(moment.time_s):
            every = say_duration(self.trigger.pre_dump_every_s or 0.0)
            decision = Decision(Action.PRE_DUMP, f"every {every}")
        if decision.action is not Action.DUMP and self.left_s(moment.time_s) == 0:
            decision = self._at_deadline(decision)
        if decision.action is Action.PRE_DUMP and not self._has_time_for_pre_dump(moment):
            decision = Decision(Action.WAIT, "another pre-dump would not be done by the deadline")
        if decision.action is Action.PRE_DUMP:
            return replace(self, pre_dumps=self.pre_dumps + 1, last_pre_dump_s=moment.time_s), decision
        if decision.action in (Action.DUMP, Action.GIVE_UP):
            return replace(self, is_done=True), decision
        return self, decision

    def _at_deadline(self, waiting: Decision) -> Decision:
        if self.trigger.at_deadline is AtDeadline.DUMP:
            return Decision(Action.DUMP, f"the deadline has come ({waiting.reason})")
        return Decision(Action.GIVE_UP, f"the deadline has come, and no dump is made ({waiting.reason})")

    def _has_time_for_pre_dump(self, moment: Moment) -> bool:
        """Whether one begun now should end before the deadline."""
        left_s, plans = self.left_s(moment.time_s), moment.forecast.plans
        return left_s is None or len(plans) < 2 or plans[1].links[0].seconds.mid <= left_s

    def _is_pre_dump_due(self, time_s: float) -> bool:
        every_s = self.trigger.pre_dump_every_s
        if every_s is None or not self.trigger.may_pre_dump:
            return False
        return self.last_pre_dump_s is None or time_s >= self.last_pre_dump_s + every_s

    def _decide(self, condition: Condition, moment: Moment) -> Decision:
        if isinstance(condition, AnyOf):
            decisions = [self._decide(one, moment) for one in condition.conditions]
            for action in (Action.DUMP, Action.PRE_DUMP):
                for decision in decisions:
                    if decision.action is action:
                        return decision
            return Decision(Action.WAIT, "; ".join(decision.reason for decision in decisions))
        if isinstance(condition, QuietFor):
            return self._when_quiet(condition.seconds, moment)
        if isinstance(condition, AtTime):
            return self._at_time(moment)
        if not moment.forecast.plans:
            return Decision(Action.WAIT, moment.forecast.text)
        if isinstance(condition, StopBelow):
            return self._when_stop_below(condition.seconds, moment.forecast)
        return self._every(condition, moment)

    @property
    def _may_pre_dump(self) -> bool:
        return self.trigger.may_pre_dump and self.pre_dumps < MOST_PRE_DUMPS

    def _when_stop_below(self, limit_s: float, forecast: Forecast) -> Decision:
        stop_s = forecast.now.stopped_s.mid
        if is_met(limit_s, forecast.now.stopped_s):
            return Decision(Action.DUMP, f"it {say_stop(stop_s)}")
        for plan in forecast.plans[1:]:
            if self._may_pre_dump and is_met(limit_s, plan.stopped_s):
                return Decision(Action.PRE_DUMP, _after_pre_dumps(plan))
        return Decision(Action.WAIT, f"it would stop for {say_duration(stop_s)}")

    def _when_quiet(self, wanted_s: float, moment: Moment) -> Decision:
        rhythm, forecast = moment.rhythm, moment.forecast
        if rhythm.quiet_s >= wanted_s:
            quiet = f"quiet for {say_duration(rhythm.quiet_s)}"
            if self._may_pre_dump and forecast.plans and forecast.best_pre_dumps:
                return Decision(Action.PRE_DUMP, f"{quiet}: {_after_pre_dumps(forecast.best)}")
            return Decision(Action.DUMP, quiet)
        if not rhythm.spells:
            return Decision(
                Action.WAIT, "how it writes is not known: only ticks that re-arm the tracker tell"
            )
        if rhythm.quiet_s > 0:
            return Decision(Action.WAIT, f"quiet for {say_duration(rhythm.quiet_s)} so far")
        return Decision(Action.WAIT, "in a burst" if rhythm.state is State.BURST else "it writes")

    def _at_time(self, moment: Moment) -> Decision:
        assert self.due is not None
        left_s = (self.due - moment.clock).total_seconds()
        if left_s <= 0:
            return Decision(Action.DUMP, f"it is {self.due:%H:%M:%S}")
        forecast = moment.forecast
        if self._may_pre_dump and forecast.plans and forecast.best_pre_dumps:
            first = forecast.best.links[0].seconds
            if first.mid < left_s <= _AHEAD * first.high + 1:
                return Decision(Action.PRE_DUMP, f"to keep the stop at {self.due:%H:%M:%S} short")
        return Decision(Action.WAIT, f"in {say_duration(left_s)}")

    def _every(self, condition: Every, moment: Moment) -> Decision:
        forecast = moment.forecast
        budget_s = forecast.budget_s if condition.stop_s is None else condition.stop_s
        stop_s = forecast.now.stopped_s.mid
        if (self.pre_dumps or not self.trigger.may_pre_dump) and is_met(budget_s, forecast.now.stopped_s):
            return Decision(Action.DUMP, f"it {say_stop(stop_s)}")
        no_gain = len(forecast.plans) > 1 and forecast.plans[1].stopped_s.mid >= _NO_GAIN * stop_s
        if self.pre_dumps >= 2 and no_gain and condition.stop_s is None:
            return Decision(
                Action.DUMP, f"it {say_stop(stop_s)}, and another pre-dump would not make it shorter"
            )
        if not self.trigger.may_pre_dump:
            return Decision(Action.WAIT, f"it would stop for {say_duration(stop_s)}")
        if self.last_pre_dump_s is None:
            return Decision(Action.PRE_DUMP, "the first")
        left_s = self.last_pre_dump_s + condition.seconds - moment.time_s
        if left_s <= 0:
            return Decision(Action.PRE_DUMP, f"{say_duration(condition.seconds)} have passed")
        return Decision(Action.WAIT, f"the next pre-dump in {say_duration(left_s)}")


def _after_pre_dumps(plan: Plan) -> str:
    """As in "after two pre-dumps it stops for 14 ms"."""
    return f"after {say_pre_dumps(plan.pre_dumps)} it {say_stop(plan.stopped_s.mid)}"


def _next(wanted: time, clock: datetime) -> datetime:
    """When the clock next shows this time."""
    due = datetime.combine(clock.date(), wanted)
    return due if due >= clock else due + timedelta(days=1)
