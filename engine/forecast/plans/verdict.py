"""The forecast as a whole: every plan, the best of them, and what to do, as a value and in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from engine.forecast.costs.model import CostModel
from engine.forecast.plans.policies import POLICIES, Round, rounds_under
from engine.forecast.plans.rounds import MOST_PRE_DUMPS, Outset, Plan, plan
from engine.forecast.stop_budget import is_met
from engine.forecast.writes.expectation import Expectation
from engine.forecast.writes.rhythm import Rhythm, State
from engine.units import say_duration, say_rates, say_stop, say_times

_NO_WORSE: Final = 1.05
"""Fewer pre-dumps are taken if the stop is longer by no more than this."""
_WORTH_IT: Final = 0.9
_WORTH_WAITING: Final = 0.5
_KEEPS_UP: Final = 0.9
_MOST_IN_LULL: Final = 2


class Verdict(Enum):
    """What to do."""

    UNKNOWN = "unknown"
    """Too little has been seen."""
    DUMP_NOW = "dump now"
    PRE_DUMP = "pre-dump first"
    WAIT = "wait"
    WILL_NOT_CONVERGE = "will not converge"
    """The target writes as fast as pre-dumps can save."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a chain begun now would be like."""

    time_s: float
    """Monotonic; of the sample it was made from."""
    budget_s: float
    plans: tuple[Plan, ...] = ()
    """`plans[k]` is that with k pre-dumps before the dump; empty if nothing is known yet."""
    best_pre_dumps: int = 0
    verdict: Verdict = Verdict.UNKNOWN
    written_bytes_per_s: float = 0.0
    """How fast pages come to be pending while a pre-dump is made now, each counted once."""
    drain_bytes_per_s: float = 0.0
    """How fast pre-dumps save them."""
    converges: bool = True
    """Whether pre-dumps save faster than the target writes."""
    in_lull: Plan | None = None
    """The best plan if it were begun in the next lull, where bursts and lulls are known."""
    lull_in_s: float | None = None
    """How soon that should come; 0 in a lull."""
    is_rough: bool = False
    """Rounds would be shorter than any two ticks were apart: look closely first (`CLOSE_LOOK_S`)."""
    others: tuple[tuple[str, int], ...] = ()
    """How many pre-dumps the policies of others would make: name and number."""

    @property
    def now(self) -> Plan:
        """A dump at once. Only where something is known."""
        return self.plans[0]

    @property
    def best(self) -> Plan:
        """The fewest pre-dumps that meet the budget, or come nearest to it."""
        return self.plans[self.best_pre_dumps]

    @property
    def meets_budget(self) -> bool:
        """Whether the best plan likely stops the target for no longer than it may."""
        return bool(self.plans) and is_met(self.budget_s, self.best.stopped_s)

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.verdict is Verdict.UNKNOWN:
            return "not known yet: too little has been seen"
        stops = say_stop(self.best.stopped_s.mid)
        if not self.meets_budget and self.budget_s > 0:
            stops += f", over the budget of {say_duration(self.budget_s)}"
        if self.verdict is Verdict.DUMP_NOW:
            return f"dump now: {stops}"
        if self.verdict is Verdict.PRE_DUMP:
            return f"pre-dump {say_times(self.best_pre_dumps)}, then dump: {stops}"
        if self.verdict is Verdict.WAIT:
            when = f", a lull in about {say_duration(self.lull_in_s)}" if self.lull_in_s else ""
            then = f": then it {say_stop(self.in_lull.stopped_s.mid)}" if self.in_lull else ""
            return f"wait: in a burst{when}{then}"
        written, drained = say_rates(self.written_bytes_per_s, self.drain_bytes_per_s)
        return f"will not converge: writes {written}, disk takes {drained}"


def foresee(
    outset: Outset,
    costs: CostModel,
    rhythm: Rhythm,
    budget_s: float,
    lull: Expectation | None = None,
) -> Forecast:
    """Foresee every plan and judge.

    Args:
        outset: where things stand.
        costs: what links take.
        rhythm: whether it is in a burst.
        budget_s: how long the target may stop at the end; 0 asks for the shortest stop.
        lull: what to expect of windows that begin with a lull, if there are any.
    """
    # One pre-dump is looked at in any case: it tells whether the disk keeps up.
    most_pre_dumps = MOST_PRE_DUMPS if costs.can_pre_dump else 0
    plans = tuple(plan(outset, costs, count) for count in range(max(most_pre_dumps, 1) + 1))
    longest, plans = plans[-1], plans[: most_pre_dumps + 1]
    best = _best(plans, budget_s)
    first, second = longest.links[0], longest.links[1]
    written_bytes_per_s = second.size_bytes.mid / second.after_s if second.after_s > 0 else 0.0
    # Where rounds shrink no more because each costs a little whatever its size, the disk is not the cause.
    converges = (
        second.pages.mid < _KEEPS_UP * first.pages.mid
        or written_bytes_per_s < _KEEPS_UP * costs.drain_bytes_per_s
    )
    in_lull, lull_in_s = _next_lull(outset, costs, rhythm, lull, budget_s)
    present = outset.look.present_pages
    # A plan of all pre-dumps has every round that a policy could ask for; beyond it rounds stay the same.
    rounds = [Round.foreseen(link, present) for link in longest.links[:-1]]
    return Forecast(
        time_s=outset.look.time_s,
        budget_s=budget_s,
        plans=plans,
        best_pre_dumps=best,
        verdict=_judge(plans, best, budget_s, converges, rhythm, in_lull),
        written_bytes_per_s=written_bytes_per_s,
        drain_bytes_per_s=costs.drain_bytes_per_s,
        converges=converges,
        in_lull=in_lull,
        lull_in_s=lull_in_s,
        is_rough=min(link.after_s for link in longest.links[1:]) < outset.expectation.finest_s,
        others=tuple((name, rounds_under(policy, rounds)) for name, policy in POLICIES.items())
        if most_pre_dumps
        else (),
    )


def _best(plans: tuple[Plan, ...], budget_s: float) -> int:
    enough = [count for count, plan in enumerate(plans) if is_met(budget_s, plan.stopped_s)]
    if enough:
        return enough[0]
    shortest_s = min(plan.stopped_s.mid for plan in plans)
    return next(count for count, plan in enumerate(plans) if plan.stopped_s.mid <= shortest_s * _NO_WORSE)


def _judge(
    plans: tuple[Plan, ...],
    best: int,
    budget_s: float,
    converges: bool,
    rhythm: Rhythm,
    in_lull: Plan | None,
) -> Verdict:
    stop, now_s = plans[best].stopped_s, plans[0].stopped_s.mid
    is_short = is_met(budget_s, stop)
    if rhythm.state is State.BURST and in_lull is not None:
        then = in_lull.stopped_s
        better = is_met(budget_s, then) or then.mid < _WORTH_WAITING * stop.mid
        if better and (not is_short or _outlasts(plans[best], in_lull, rhythm)):
            return Verdict.WAIT
    if is_short or stop.mid < _WORTH_IT * now_s:
        return Verdict.PRE_DUMP if best else Verdict.DUMP_NOW
    return Verdict.DUMP_NOW if converges else Verdict.WILL_NOT_CONVERGE


def _outlasts(best: Plan, in_lull: Plan, rhythm: Rhythm) -> bool:
    """Whether a plan is good only because it pre-dumps until the burst is over."""
    remaining = rhythm.remaining_s
    return (
        remaining is not None and best.seconds.mid >= remaining.mid and best.pre_dumps > in_lull.pre_dumps + 1
    )


def _next_lull(
    outset: Outset,
    costs: CostModel,
    rhythm: Rhythm,
    lull: Expectation | None,
    budget_s: float,
) -> tuple[Plan | None, float | None]:
    """The best plan that fits into a lull, and how soon one should come."""
    if rhythm.state is State.LULL:
        return None, 0.0
    lasts = rhythm.lengths(State.LULL)
    if lull is None or lasts is None:
        return None, None
    remaining = rhythm.remaining_s
    then = Outset(outset.look, lull, link_age_s=outset.link_age_s)
    most_pre_dumps = _MOST_IN_LULL if costs.can_pre_dump else 0
    plans = tuple(plan(then, costs, count) for count in range(most_pre_dumps + 1))
    fitting = tuple(each for each in plans if each.seconds.mid <= lasts.mid)
    if not fitting:
        return None, remaining.mid if remaining else None
    return fitting[_best(fitting, budget_s)], remaining.mid if remaining else None
