"""A chain that is not made yet: what each link would hold, how long it would take, and the stop at its end.

While pre-dump i is made, in T(i) = cost(bytes(i)), the target goes on writing, so the next link holds
bytes(i + 1) = U(T(i)): U is what is written in that time. The dump at the end stops the target for cost(U) of
the last such window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.forecast.costs.line import CostLine
from engine.forecast.costs.model import CostModel
from engine.forecast.estimate import NOTHING, Estimate
from engine.forecast.writes.expectation import Expectation
from engine.forecast.writes.look import Look
from engine.images.layout import LinkKind

MOST_PRE_DUMPS: Final = 8
_NUMBERS: Final = ("no pre-dump", "one pre-dump", "two pre-dumps")


@dataclass(frozen=True, slots=True)
class LinkForecast:
    """One link as it is foreseen."""

    kind: LinkKind
    pages: Estimate
    seconds: Estimate
    """From beginning to end."""
    stopped_s: Estimate
    after_s: float = 0.0
    """From the link before (or now) to this one's look at what was written."""
    page_bytes: int = 4096

    @property
    def size_bytes(self) -> Estimate:
        """Of its page data."""
        pages, each = self.pages, self.page_bytes
        return Estimate(pages.low * each, pages.mid * each, pages.high * each)


@dataclass(frozen=True, slots=True)
class Plan:
    """Some pre-dumps, and then a dump."""

    links: tuple[LinkForecast, ...]
    """At least one; the last is the dump."""

    @property
    def pre_dumps(self) -> int:
        """How many come before the dump."""
        return len(self.links) - 1

    @property
    def dump(self) -> LinkForecast:
        """The end of the chain."""
        return self.links[-1]

    @property
    def stopped_s(self) -> Estimate:
        """How long the target stands still at the end."""
        return self.dump.stopped_s

    @property
    def seconds(self) -> Estimate:
        """All links together, without the pauses between them."""
        return sum((link.seconds for link in self.links), NOTHING)

    @property
    def size_bytes(self) -> Estimate:
        """All links together."""
        return sum((link.size_bytes for link in self.links), NOTHING)


@dataclass(frozen=True, slots=True, eq=False)
class Outset:
    """Where a chain stands, and what is to be expected of the target."""

    look: Look
    """The newest."""
    expectation: Expectation
    delay_s: float = 0.0
    """From that look to the first link."""
    link_age_s: float | None = None
    """How long before that look the last link looked at what was written; None if there is no link yet."""
    growth_pages_per_s: float = 0.0
    """How fast the target's memory grows."""

    def pending(self, span_s: float) -> Estimate:
        """Pages that a link would hold `span_s` seconds from now, if there is none before it."""
        span_s += self.delay_s
        if self.link_age_s is None:
            more = Estimate.exactly(max(0.0, self.growth_pages_per_s) * span_s)
        else:
            more = self.expectation.further(self.link_age_s, span_s)
        return self._within(Estimate.exactly(self.look.pending_pages) + more, span_s)

    def written(self, begin_s: float, span_s: float) -> Estimate:
        """Pages of a link that is begun `span_s` after the one before, which begins `begin_s` from now."""
        begin_s += self.delay_s
        return self._within(self.expectation.pages(span_s, begin_s), begin_s + span_s)

    def _within(self, pages: Estimate, end_s: float) -> Estimate:
        """No more than there will be."""
        grown = max(0.0, self.growth_pages_per_s) * end_s
        most = max(self.look.present_pages + 1.5 * grown, self.look.pending_pages)
        return Estimate(min(pages.low, most), min(pages.mid, most), min(pages.high, most))


def say_pre_dumps(count: int) -> str:
    """As in "one pre-dump", "5 pre-dumps"."""
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count} pre-dumps"


_Pick = Callable[[Estimate], float]
_EDGES: Final[tuple[_Pick, ...]] = (
    lambda estimate: estimate.low,
    lambda estimate: estimate.mid,
    lambda estimate: estimate.high,
)


@dataclass(frozen=True, slots=True)
class _Step:
    """One link with figures instead of ranges."""

    after_s: float
    begins_s: float
    """From now to its look at what was written."""
    pages: float
    seconds: float
    stopped_s: float


def plan(outset: Outset, costs: CostModel, pre_dumps: int) -> Plan:
    """Foresee a chain of so many pre-dumps and a dump, each begun when the one before is done.

    Args:
        outset: where things stand.
        costs: what links take.
        pre_dumps: 0 for a dump at once.

    The range is from a chain in which everything goes well to one in which nothing does: links that are small
    are quick as well, and leave less time to write.
    """
    low, mid, high = (_steps(outset, costs, pre_dumps, pick) for pick in _EDGES)
    kinds = [LinkKind.PRE_DUMP] * pre_dumps + [LinkKind.DUMP]
    return Plan(
        tuple(
            LinkForecast(
                kind,
                pages=Estimate.around(least.pages, likely.pages, most.pages),
                seconds=Estimate.around(least.seconds, likely.seconds, most.seconds),
                stopped_s=Estimate.around(least.stopped_s, likely.stopped_s, most.stopped_s),
                after_s=likely.after_s,
                page_bytes=outset.look.page_bytes,
            )
            for kind, least, likely, most in zip(kinds, low, mid, high, strict=True)
        )
    )


def _steps(outset: Outset, costs: CostModel, pre_dumps: int, pick: _Pick) -> list[_Step]:
    each = outset.look.page_bytes
    steps: list[_Step] = []
    for _ in range(pre_dumps):
        steps.append(_step(outset, steps, 0.0, pick, costs.pre_dump, costs.pre_dump_stop, each))
    before = steps[-1].pages if steps else outset.look.pending_pages
    lead_s = pick(costs.lead(before * each))
    steps.append(_step(outset, steps, lead_s, pick, costs.dump, costs.dump_stop, each, costs.anyway_pages))
    return steps


def _step(
    outset: Outset,
    before: list[_Step],
    lead_s: float,
    pick: _Pick,
    time: CostLine,
    stop: CostLine,
    page_bytes: int,
    anyway_pages: int = 0,
) -> _Step:
    if before:
        after_s = before[-1].seconds + lead_s
        begins_s = before[-1].begins_s + after_s
        pages = pick(outset.written(before[-1].begins_s, after_s)) + anyway_pages
    else:
        after_s = begins_s = lead_s
        # In a first link everything is pending.
        pages = pick(outset.pending(after_s)) + (0 if outset.link_age_s is None else anyway_pages)
    size = pages * page_bytes
    return _Step(after_s, begins_s, pages, pick(time.seconds(size)), pick(stop.seconds(size)))
