"""Keeps what forecasts of one target are made from: its recent samples, its links, and what those cost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.checkpoint.link import After, LinkResult
from engine.forecast.costs.model import CostModel
from engine.forecast.plans.rounds import MOST_PRE_DUMPS, LinkForecast, Outset, plan
from engine.forecast.plans.truth import Outcome, Truth
from engine.forecast.plans.verdict import STOP_BUDGET_S, Forecast, foresee
from engine.forecast.writes.expectation import Expectation
from engine.forecast.writes.look import Look
from engine.forecast.writes.rhythm import Rhythm, State, rhythm_of
from engine.images.layout import LinkKind
from engine.tracking.sample import Sample

HISTORY_S: Final = 300.0
_MOST_LOOKS: Final = 1000
_GROWTH_LOOKS: Final = 10
_ROUNDS_AHEAD: Final = 2
_WORTH_IT: Final = 1.02
"""In a chain under way another small pre-dump costs next to nothing: it pays for so much shorter a stop."""


class Forecaster:
    """Shown samples and links as they come, it tells what is to be expected. To be used from one thread."""

    def __init__(
        self,
        costs: CostModel | None = None,
        *,
        budget_s: float = STOP_BUDGET_S,
        think_s: float = 0.0,
        most_pre_dumps: int = MOST_PRE_DUMPS,
    ) -> None:
        """Begin with no history.

        Args:
            costs: what links cost; without it there is a rhythm, and no forecast.
            budget_s: how long the target may stop at the end; 0 asks for the shortest stop.
            think_s: pause between two links.
            most_pre_dumps: 0 where the engine can make none.
        """
        self.costs = costs
        self.budget_s = budget_s
        self.think_s = think_s
        self.most_pre_dumps = most_pre_dumps
        self.truth = Truth()
        self._looks: deque[Look] = deque(maxlen=_MOST_LOOKS)
        self._link_looked_s: float | None = None
        self._is_new_chain = True
        self._link_ended_s = -math.inf
        self._rhythm = Rhythm()
        self._expected: Expectation | None = None

    @property
    def looks(self) -> Sequence[Look]:
        """The history, oldest first."""
        return tuple(self._looks)

    @property
    def rhythm(self) -> Rhythm:
        """As of the newest sample."""
        return self._rhythm

    def see(self, sample: Sample) -> None:
        """Take in a tick. One without processes ends nothing and adds nothing."""
        if sample.processes:
            self.look(Look.of(sample))

    def look(self, look: Look) -> None:
        """Take in the gist of a tick."""
        self._looks.append(look)
        while self._looks[0].time_s < look.time_s - HISTORY_S:
            self._looks.popleft()
        self._rhythm = rhythm_of(self._looks)

    def forecast(self, now_s: float | None = None) -> Forecast:
        """What a chain begun at `now_s` would be like; None means at the newest sample.

        After a link it is not known before the next sample: what is pending has changed.
        """
        outset = self._outset(now_s)
        if outset is None or self.costs is None:
            return Forecast(self._looks[-1].time_s if self._looks else 0.0, self.budget_s)
        lull = None
        if self._rhythm.state is State.BURST:
            lull = Expectation(tuple(self._looks), self._rhythm, State.LULL)
        return foresee(
            outset,
            self.costs,
            self._rhythm,
            budget_s=self.budget_s,
            think_s=self.think_s,
            lull=lull,
            most_pre_dumps=self.most_pre_dumps,
        )

    def next_link(self, kind: LinkKind, now_s: float | None = None) -> LinkForecast | None:
        """What the very next link would be like; to be kept and given to `link_made`."""
        outset = self._outset(now_s)
        if outset is None or self.costs is None:
            return None
        # One link is told more cheaply than every plan there is.
        return plan(outset, self.costs, 0 if kind is LinkKind.DUMP else 1, self.think_s).links[0]

    def another_pays(self, now_s: float) -> bool:
        """Whether, after a pre-dump, another one made at once would make the stop shorter.

        To be asked right after a link, and told without a tick by what was expected before the chain: a tick
        and a forecast take about as long as a small pre-dump, and the target writes meanwhile.

        Args:
            now_s: monotonic.
        """
        if self.costs is None or self._expected is None or self._link_looked_s is None or self._is_new_chain:
            return False
        costs, expected, page_bytes = self.costs, self._expected, self._looks[-1].page_bytes

        def size_bytes(span_s: float) -> float:
            return expected.pages(span_s).mid * page_bytes

        def stop_s(span_s: float) -> float:
            lead_s = costs.lead(size_bytes(span_s)).mid
            return costs.stop(size_bytes(span_s + lead_s)).mid

        span_s = max(0.0, now_s - self._link_looked_s)
        best_s = at_once_s = stop_s(span_s)
        if at_once_s <= self.budget_s:
            return False
        for _ in range(_ROUNDS_AHEAD):
            span_s = costs.pre_dump.mid_s(size_bytes(span_s))
            best_s = min(best_s, stop_s(span_s))
        return best_s * _WORTH_IT < at_once_s

    def link_made(
        self,
        result: LinkResult,
        ended_s: float,
        foreseen: LinkForecast | None = None,
        after: After = After.RUN,
    ) -> None:
        """Learn from a link.

        Args:
            result: what was made.
            ended_s: monotonic, when it was done.
            foreseen: what `next_link` said just before.
            after: what became of the target.
        """
        if self.costs is not None:
            self.costs = self.costs.after(result, after)
        self._link_looked_s = ended_s - result.seconds + result.times.lead_s
        self._link_ended_s = ended_s
        self._is_new_chain = result.kind is LinkKind.DUMP
        if foreseen is not None:
            self.truth = self.truth.after(Outcome.of(foreseen, result, after))

    def forget_links(self, *, is_new: bool = True) -> None:
        """Another chain begins, or one is gone on with; what links cost is still known."""
        self._link_looked_s = None
        self._is_new_chain = is_new

    def _outset(self, now_s: float | None) -> Outset | None:
        """Where a chain stands; None if that is not known."""
        looks = tuple(self._looks)
        if not looks:
            return None
        newest = looks[-1]
        if newest.curve.window_s == 0 or newest.time_s < self._link_ended_s:
            return None
        self._expected = Expectation(looks, self._rhythm)
        return Outset(
            newest.of_new_chain() if self._is_new_chain else newest,
            self._expected,
            delay_s=max(0.0, now_s - newest.time_s) if now_s is not None else 0.0,
            link_age_s=None if self._is_new_chain else self._link_age_s(newest),
            growth_pages_per_s=_growth(looks[-_GROWTH_LOOKS:]),
        )

    def _link_age_s(self, newest: Look) -> float | None:
        if self._link_looked_s is None:
            return None
        return max(0.0, newest.time_s - self._link_looked_s)


def _growth(looks: Sequence[Look]) -> float:
    """How fast memory grows, pages per second: between the first and the last of these, if it mostly does."""
    present = np.array([look.present_pages for look in looks])
    if len(present) < 3 or np.median(np.diff(present)) <= 0:
        return 0.0
    return max(0.0, float(present[-1] - present[0])) / (looks[-1].time_s - looks[0].time_s)
