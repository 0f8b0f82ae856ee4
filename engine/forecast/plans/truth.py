"""Each forecast of a link beside the link, and how far off forecasts are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from engine.checkpoint.link import After, LinkResult
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast
from engine.images.layout import LinkKind

LEAST_PAGES: Final = 64
LEAST_STOP_S: Final = 0.001
"""Smaller figures are judged as if they were as large: 5 pages in place of 10 are no error of a half."""
_REMEMBERED: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """One link, as it was foreseen just before and as it was."""

    foreseen: LinkForecast
    kind: LinkKind
    pages: int
    seconds: float
    stopped_s: float
    ran_on: bool = True
    """Whether the stop had an end that could be measured."""

    @classmethod
    def of(cls, foreseen: LinkForecast, result: LinkResult, after: After = After.RUN) -> Self | None:
        """Put a forecast beside its link, after which this became of the target.

        Returns:
            None if it is not known what the link took.
        """
        if result.seconds is None or result.stopped_s is None:
            return None
        return cls(
            foreseen,
            result.kind,
            result.pages_written,
            result.seconds,
            result.stopped_s,
            after is After.RUN,
        )

    @property
    def pages_error(self) -> float:
        """Relative; positive if more was foreseen than came."""
        return (self.foreseen.pages.mid - self.pages) / max(self.pages, LEAST_PAGES)

    @property
    def stop_error(self) -> float:
        """Relative; positive if a longer stop was foreseen."""
        return (self.foreseen.stopped_s.mid - self.stopped_s) / max(self.stopped_s, LEAST_STOP_S)


@dataclass(frozen=True, slots=True)
class Errors:
    """How far off some forecasts were, whichever way."""

    count: int
    median: float = 0.0
    p90: float = 0.0
    in_range: float = 0.0
    """Share of the forecasts whose range held what came."""


@dataclass(frozen=True, slots=True)
class Truth:
    """All outcomes, oldest first. Immutable: `after` gives the next."""

    outcomes: tuple[Outcome, ...] = ()

    def after(self, outcome: Outcome) -> Truth:
        """The same with one more."""
        return replace(self, outcomes=(*self.outcomes, outcome)[-_REMEMBERED:])

    @property
    def pages(self) -> Errors:
        """Of the pages of every link."""
        return _errors((o.pages_error, o.foreseen.pages, o.pages) for o in self.outcomes)

    @property
    def stops(self) -> Errors:
        """Of the time that dumps stopped the target, if it ran on."""
        dumps = [outcome for outcome in self.outcomes if outcome.kind is LinkKind.DUMP and outcome.ran_on]
        return _errors((o.stop_error, o.foreseen.stopped_s, o.stopped_s) for o in dumps)


def _errors(found: Iterable[tuple[float, Estimate, float]]) -> Errors:
    rows = list(found)
    if not rows:
        return Errors(0)
    sizes = np.abs([error for error, _, _ in rows])
    held = sum(actual in estimate for _, estimate, actual in rows)
    return Errors(len(rows), float(np.median(sizes)), float(np.quantile(sizes, 0.9)), held / len(rows))
