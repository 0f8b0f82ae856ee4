"""How much tracking may cost the target, and what is put off to keep within that.

Tracking costs a target a fault for each page that it writes first after each re-arming, and a stop wherever
it is armed or has to hold still. What recurs with each tick is paid for by waiting until the next: over twice
the interval it costs half, or less, as a page that is written again costs nothing. What arming costs is
limited by leaving children out: where many are born, the youngest are seen and not armed. Neither loses
anything: an image holds untracked processes in full.

Costs are paid out of accounts that fill at the rate of the budget and hold what some seconds bring: the
budget is kept over these seconds, and not in every single one. Pure: times and costs are told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self, final

LONGEST_S: Final = 60.0
"""No tick is put off for longer, whatever it costs."""
SETTLED_S: Final = 1.0
"""A child that has lived for this long is worth arming, even where most children live shortly."""

_SAVED_S: Final = 10.0
"""For ticks: a close look may take a few in a row."""
_SAVED_FOR_ARMING_S: Final = 4.0
"""So no tick stops a target for longer than 20 ms to arm its children, by the usual budget."""
_OF_IT_FOR_ARMING: Final = 0.5
_USUAL_ARMING_S: Final = 0.0004
_LEARNT: Final = 0.3
_SHORT_LIVES: Final = 3
"""So many short lives within `_REMEMBERED_S` are a storm."""
_REMEMBERED_S: Final = 10.0
_AS_ASKED: Final = 1.2
"""An interval up to so many times the one asked for is as good as that."""


@dataclass(frozen=True, slots=True)
class CostBudget:
    """What tracking may cost a target, its descendants together; shares of elapsed time."""

    cpu: float = 0.02
    """Of one core: faults and stops."""
    stopped: float = 0.01
    """Stops alone."""

    @classmethod
    def of(cls, cpu: float) -> Self:
        """A budget of so much of a core, half of which may be stops; infinite if there is to be none."""
        return cls(cpu, cpu / 2)

    @property
    def is_limited(self) -> bool:
        """Whether there is one."""
        return math.isfinite(self.cpu)


DEFAULT_BUDGET: Final = CostBudget()
NO_BUDGET: Final = CostBudget.of(math.inf)


@final
class _Account:
    """Seconds that may be spent, filled at a rate."""

    def __init__(self, rate: float, saved_s: float, owed_s: float) -> None:
        """A full account.

        Args:
            rate: what comes in, in seconds a second.
            saved_s: it saves no more than comes in within this time.
            owed_s: it owes no more than that; the rest is forgiven.
        """
        self._rate = rate
        self._most_s = rate * saved_s
        self._least_s = -rate * owed_s
        self.left_s = self._most_s
        """Less than 0 if too much was spent."""

    @property
    def is_full(self) -> bool:
        return self.left_s >= self._most_s

    def fill(self, elapsed_s: float) -> None:
        if elapsed_s > 0:
            self.left_s = min(self._most_s, self.left_s + self._rate * elapsed_s)

    def spend(self, seconds: float) -> None:
        self.left_s = max(self._least_s, self.left_s - seconds)

    def paid_back_after_s(self) -> float:
        return max(0.0, -self.left_s / self._rate) if self.left_s < 0 else 0.0


@final
class CostKeeper:
    """Says when a target may be looked at next, and which of its children may be armed."""

    def __init__(self, budget: CostBudget, now_s: float) -> None:
        """Nothing has been spent yet.

        Args:
            budget: to keep.
            now_s: `time.monotonic()`, as everywhere here.
        """
        self.set_budget(budget)
        self.interval_s = 0.0
        """From the last tick to the next, as `pause_s` said last."""
        self.is_slowed = False
        """Whether that is longer than was asked for."""
        self._filled_at_s = now_s
        self._arming_s = _USUAL_ARMING_S
        self._armed_since_tick_s = 0.0
        self._short_lives: deque[float] = deque(maxlen=_SHORT_LIVES)

    def set_budget(self, budget: CostBudget) -> None:
        """Keep another budget: what was spent until now is forgotten."""
        self.budget = budget
        # What cannot be paid back within the longest interval cannot be helped.
        self._cpu = _Account(budget.cpu, _SAVED_S, LONGEST_S)
        self._stops = _Account(budget.stopped * (1 - _OF_IT_FOR_ARMING), _SAVED_S, LONGEST_S)
        self._arming = _Account(budget.stopped * _OF_IT_FOR_ARMING, _SAVED_FOR_ARMING_S, math.inf)

    # -- ticks

    def ticked(self, now_s: float, faults_s: float, stopped_s: float) -> None:
        """A tick was made.

        Args:
            now_s: when.
            faults_s: what the faults since the tick before took the target.
            stopped_s: for how long it was stopped since then, to arm newcomers too.
        """
        if not self.budget.is_limited:
            return
        self._fill(now_s)
        recurring_s = max(0.0, stopped_s - self._armed_since_tick_s)
        self._armed_since_tick_s = 0.0
        self._cpu.spend(faults_s + recurring_s)
        self._stops.spend(recurring_s)

    def pause_s(self, asked_s: float, within_s: float = math.inf) -> float:
        """How long after the last tick the next may come: `asked_s`, or up to `within_s` for the budget."""
        owed_s = 0.0
        if self.budget.is_limited:
            owed_s = max(self._cpu.paid_back_after_s(), self._stops.paid_back_after_s())
        self.interval_s = max(asked_s, min(owed_s, LONGEST_S, within_s))
        self.is_slowed = self.interval_s > _AS_ASKED * asked_s
        return self.interval_s

    # -- newcomers

    def choose(self, ages_s: Sequence[float], now_s: float) -> Iterator[int]:
        """Which newcomers to arm now, by their place in `ages_s`, the oldest first.

        All of them, if that can be paid for; where many live shortly, only those that have lived for a while.
        The caller arms each, and says what that took (`armed`) before it asks for the next: it may be more
        than was thought.
        """
        oldest_first = sorted(range(len(ages_s)), key=lambda at: -ages_s[at])
        if not self.budget.is_limited:
            yield from oldest_first
            return
        self._fill(now_s)
        if len(ages_s) * self._arming_s > self._arming.left_s or self._is_storm(now_s):
            oldest_first = [at for at in oldest_first if ages_s[at] >= SETTLED_S]
        for at in oldest_first:
            # Even where the account never holds enough for one child, each child has its turn.
            if self._arming.left_s < self._arming_s and not self._arming.is_full:
                return
            yield at

    def armed(self, stopped_s: float) -> None:
        """A newcomer was armed, and stopped for so long for it."""
        self._arming_s += _LEARNT * (stopped_s - self._arming_s)
        self._arming.spend(stopped_s)
        self.ordered(stopped_s)

    def ordered(self, stopped_s: float) -> None:
        """The target was stopped for so long because the user had it armed: that recurs with no tick."""
        self._armed_since_tick_s += stopped_s

    def exited(self, age_s: float, now_s: float) -> None:
        """A descendant has ended, at this age."""
        if age_s < SETTLED_S:
            self._short_lives.append(now_s)

    def _is_storm(self, now_s: float) -> bool:
        lives = self._short_lives
        return len(lives) == _SHORT_LIVES and now_s - lives[0] <= _REMEMBERED_S

    def _fill(self, now_s: float) -> None:
        elapsed_s = now_s - self._filled_at_s
        self._filled_at_s = now_s
        for account in (self._cpu, self._stops, self._arming):
            account.fill(elapsed_s)
