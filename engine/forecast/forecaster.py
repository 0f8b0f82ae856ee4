"""Keeps what forecasts of one target are made from: its recent samples, and where its chain stands.

What links cost is kept elsewhere (`engine.forecast.costs.book`), and handed in where it is needed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.checkpoint.link import After, LinkResult
from engine.forecast.costs.model import CostModel
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Outset, plan
from engine.forecast.plans.truth import Outcome, Truth
from engine.forecast.plans.verdict import Forecast, foresee
from engine.forecast.writes.expectation import Expectation
from engine.forecast.writes.look import Look
from engine.forecast.writes.rhythm import Rhythm, State, rhythm_of
from engine.images.layout import LinkKind
from engine.tracking.sample import Sample

HISTORY_S: Final = 300.0
_MOST_LOOKS: Final = 1000
_GROWTH_LOOKS: Final = 10


class Forecaster:
    """Shown samples and links as they come, it tells what is to be expected. To be used from one thread."""

    def __init__(self) -> None:
        """Begin with no history."""
        self.truth = Truth()
        self._looks: deque[Look] = deque(maxlen=_MOST_LOOKS)
        self._link_looked_s: float | None = None
        self._is_new_chain = True
        self._link_ended_s = -math.inf
        self._rhythm = Rhythm()

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

    def forecast(self, costs: CostModel | None, budget_s: float, now_s: float | None = None) -> Forecast:
        """What a chain begun now would be like.

        After a link it is not known before the next sample: what is pending has changed.

        Args:
            costs: what links cost; without it nothing is foreseen.
            budget_s: how long the target may stop at the end; 0 asks for the shortest stop.
            now_s: monotonic; None means at the newest sample.
        """
        outset = self._outset(now_s)
        if outset is None or costs is None:
            return Forecast(self._looks[-1].time_s if self._looks else 0.0, budget_s)
        lull = None
        if self._rhythm.state is State.BURST:
            lull = Expectation(tuple(self._looks), self._rhythm, State.LULL)
        return foresee(outset, costs, self._rhythm, budget_s, lull)

    def pages_within(self, span_s: float) -> Estimate | None:
        """Distinct pages that will be written within so many seconds; None if nothing is known yet."""
        looks = tuple(self._looks)
        if not looks or looks[-1].curve.window_s == 0:
            return None
        pages = Expectation(looks, self._rhythm).pages(span_s)
        most = math.inf if looks[-1].dumpable_pages is None else looks[-1].dumpable_pages
        return Estimate(min(pages.low, most), min(pages.mid, most), min(pages.high, most))

    def next_link(
        self, costs: CostModel | None, kind: LinkKind, now_s: float | None = None
    ) -> LinkForecast | None:
        """What the very next link would be like; to be kept and given to `link_made`."""
        outset = self._outset(now_s)
        if outset is None or costs is None:
            return None
        # One link is told more cheaply than every plan there is.
        return plan(outset, costs, 0 if kind is LinkKind.DUMP else 1).links[0]

    def link_made(
        self,
        result: LinkResult,
        ended_s: float,
        foreseen: LinkForecast | None = None,
        after: After = After.RUN,
    ) -> None:
        """Take in a link: where the chain stands now, and how right the forecast was.

        Args:
            result: what was made.
            ended_s: monotonic, when it was done.
            foreseen: what `next_link` said just before.
            after: what became of the target.
        """
        self._link_looked_s = ended_s - (result.since_look_s or 0.0)
        self._link_ended_s = ended_s
        self._is_new_chain = result.kind is LinkKind.DUMP
        outcome = Outcome.of(foreseen, result, after) if foreseen is not None else None
        if outcome is not None:
            self.truth = self.truth.after(outcome)

    def forget_links(self, *, is_new: bool = True) -> None:
        """Another chain begins, or one that was begun earlier is gone on with."""
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
        return Outset(
            newest.of_new_chain() if self._is_new_chain else newest,
            Expectation(looks, self._rhythm),
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
