"""How right forecasts are, on eight targets: pages and stops of links, and what the advice is worth.

`python -m tests.bench.forecast_figures [TARGET]…` does it for some targets alone, and prints each link.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from engine.checkpoint.link import LinkResult
from engine.checkpoint.memory import MemoryChain
from engine.forecast.advisor import Advisor
from engine.forecast.driver import Driver
from engine.forecast.making import make_link
from engine.forecast.plans.policies import POLICIES, Policy, Round
from engine.forecast.plans.rounds import MOST_PRE_DUMPS
from engine.forecast.plans.truth import Errors, Outcome, Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode
from engine.tracking.session import Session
from tests.bench.figure import Figure
from tests.bench.forecast_targets import TARGETS, Missing, running
from tests.known import known

_INTERVAL_S: Final = 0.5
_WATCH_S: Final = 12.0
_CHAINS: Final = 5
_PRE_DUMPS: Final = 3
_PAUSE_S: Final = 1.0
_ROUNDS: Final = 16
_LONGEST_WAIT_S: Final = 12.0
_FIXED: Final = (0, 1, 2, 3, 5)


@dataclass
class Findings:
    """Of one target."""

    name: str
    truth: Truth = field(default_factory=Truth)
    stops_s: dict[str, list[float]] = field(default_factory=dict)
    """By policy; ours is "advice"."""

    @property
    def against_best(self) -> float:
        """Stop under our advice, over that of the best fixed policy."""
        medians = {name: statistics.median(stops) for name, stops in self.stops_s.items()}
        return medians.pop("advice") / min(medians.values())


class Driven:
    """One target, watched and checkpointed as the command line does it."""

    def __init__(self, session: Session, directory: Path) -> None:
        self.advisor = Advisor(budget_s=0.0)
        self._driver = Driver(session, self.advisor, _INTERVAL_S)
        self._session = session
        self._directory = directory
        self._chains = 0
        self.advisor.calibrate(directory)

    def watch(self, span_s: float) -> Forecast:
        """Tick for so long, and until a close look is over."""
        until_s = time.monotonic() + span_s
        for tick in self._driver.ticks(_sleep):
            if tick.advice is not None and time.monotonic() >= until_s:
                return tick.advice.forecast
        raise Missing("it has exited")

    def begin(self) -> MemoryChain:
        """Another chain; the one before is removed."""
        shutil.rmtree(self._directory / str(self._chains), ignore_errors=True)
        self._chains += 1
        self.advisor.chain_begun()
        return MemoryChain(self._session, self._directory / str(self._chains))

    def make(self, chain: MemoryChain, kind: LinkKind) -> LinkResult:
        """A link."""
        return make_link(self.advisor, chain, kind)

    def chain_by(self, policy: Policy | None) -> float:
        """Pre-dumps until the policy has enough (None: none at all), and a dump; its stop in seconds."""
        chain = self.begin()
        rounds: list[Round] = []
        while policy is not None and not (rounds and policy(rounds)):
            made = self.make(chain, LinkKind.PRE_DUMP)
            rounds.append(Round(made.pages_written, made.pages_in_parent))
        return known(self.make(chain, LinkKind.DUMP).stopped_s)

    def chain_by_advice(self) -> float:
        """As our forecast says, waiting and pre-dumping first where it says so; the stop in seconds."""
        chain = self.begin()
        until_s = time.monotonic() + _LONGEST_WAIT_S
        forecast = self._look()
        while forecast.verdict is Verdict.WAIT and time.monotonic() < until_s:
            forecast = self.watch(_INTERVAL_S)
        while forecast.best_pre_dumps and len(chain.links) < MOST_PRE_DUMPS:
            self.make(chain, LinkKind.PRE_DUMP)
            forecast = self._look()
        return known(self.make(chain, LinkKind.DUMP).stopped_s)

    def _look(self) -> Forecast:
        """What is foreseen at once."""
        self._driver.at_once()
        return self.watch(0.0)


def _fixed(count: int) -> Policy:
    """Always so many pre-dumps, at least one."""
    return lambda rounds: len(rounds) >= count


def _sleep(seconds: float) -> bool:
    """Wait, and never end."""
    time.sleep(seconds)
    return False


def measure() -> Iterator[Figure]:
    """Every figure of the forecast."""
    found = []
    print(_HEAD)
    for name in TARGETS:
        try:
            found.append(examine(name))
            print(_row(found[-1]), flush=True)
        except Missing as missing:
            print(f"{name}: left out: {missing}", flush=True)
    outcomes = Truth(tuple(outcome for each in found for outcome in each.truth.outcomes))
    yield from _errors("pages of a link", outcomes.pages, 10, 25, found, lambda truth: truth.pages)
    yield from _errors("stop of a dump", outcomes.stops, 20, 40, found, lambda truth: truth.stops)
    if found:
        yield Figure(
            "forecast, all targets: stop by our advice, against the best fixed policy of each",
            statistics.geometric_mean(each.against_best for each in found),
            "×", 1.15, "lower", _ROUNDS, "their geometric mean",
        )  # fmt: skip
    for each in found:
        yield Figure(
            f"forecast, {each.name}: stop by our advice, against the best fixed policy",
            each.against_best, "×", 1.15, "lower", _ROUNDS, _stops(each),
        )  # fmt: skip


_HEAD: Final = (
    f"{'target':<12}{'pages off by':>12}{'9 in 10':>10}{'stops off by':>14}{'9 in 10':>10}"
    f"{'stop by advice':>17}  best fixed policy       against it"
)


def _row(findings: Findings) -> str:
    """Of the table of targets."""
    pages, stops = findings.truth.pages, findings.truth.stops
    medians_ms = {name: 1e3 * statistics.median(stops_s) for name, stops_s in findings.stops_s.items()}
    ours_ms = medians_ms.pop("advice")
    best = min(medians_ms, key=medians_ms.__getitem__)
    return (
        f"{findings.name:<12}{pages.median:>12.1%}{pages.p90:>10.1%}{stops.median:>14.1%}{stops.p90:>10.1%}"
        f"{ours_ms:>14.1f} ms  {medians_ms[best]:>6.1f} ms {best:<13}{findings.against_best:>7.2f}"
    )


def _errors(
    what: str,
    errors: Errors,
    median: float,
    p90: float,
    found: Sequence[Findings],
    of: Callable[[Truth], Errors],
) -> Iterator[Figure]:
    each = ", ".join(f"{one.name} {of(one.truth).median:.0%}" for one in found)
    detail = f"{errors.in_range:.0%} in the range foreseen; {each}"
    count, name = errors.count, f"forecast, {what}"
    yield Figure(f"{name}: median error", 100 * errors.median, "%", median, "lower", count, detail)
    yield Figure(f"{name}: nine in ten are off by less", 100 * errors.p90, "%", p90, "lower", count)


def _stops(findings: Findings) -> str:
    return ", ".join(
        f"{name} {statistics.median(stops) * 1e3:.1f} ms" for name, stops in findings.stops_s.items()
    )


def examine(name: str, show: Callable[[Outcome], None] = lambda outcome: None) -> Findings:
    """Make chains of one target: some with pauses, for the truth, and some by each policy. Raises Missing."""
    findings = Findings(name)
    with _driven(name) as driven:
        driven.watch(_WATCH_S)
        for _ in range(_CHAINS):
            chain = driven.begin()
            for kind in [LinkKind.PRE_DUMP] * _PRE_DUMPS + [LinkKind.DUMP]:
                driven.watch(_PAUSE_S)
                driven.make(chain, kind)
        findings.truth = driven.advisor.advise(datetime.now()).truth
        for outcome in findings.truth.outcomes:
            show(outcome)
        policies = list(_policies(driven).items())
        for number in range(_ROUNDS):
            # Each in every place of a round: the target has a rhythm too, and it may be that of the rounds.
            first = number % len(policies)
            for policy_name, work in (*policies[first:], *policies[:first]):
                driven.watch(_PAUSE_S / 3)
                findings.stops_s.setdefault(policy_name, []).append(work())
    return findings


def _policies(driven: Driven) -> dict[str, Callable[[], float]]:
    def by(policy: Policy | None) -> Callable[[], float]:
        return lambda: driven.chain_by(policy)

    fixed_ones = {f"{count} pre-dumps": by(_fixed(count) if count else None) for count in _FIXED}
    return {"advice": driven.chain_by_advice, **fixed_ones, **{n: by(p) for n, p in POLICIES.items()}}


@contextmanager
def _driven(name: str) -> Iterator[Driven]:
    with (
        running(name) as pid,
        tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as directory,
        Session(pid) as session,
    ):
        if RateMode.REARMING in session.modes:
            session.set_mode(RateMode.REARMING)
        session.arm()
        yield Driven(session, Path(directory))


def main() -> None:
    """Some targets, link by link."""
    for name in sys.argv[1:] or TARGETS:
        print(name, flush=True)
        found = examine(name, _show)
        for what, errors in (("pages", found.truth.pages), ("stops", found.truth.stops)):
            print(f"  {what} off by {errors.median:.1%}, nine in ten by less than {errors.p90:.1%}")
        ratio = found.against_best
        print(f"  advice against the best fixed policy: {ratio:.2f} ({_stops(found)})")
        print(f"{_HEAD}\n{_row(found)}", flush=True)


def _show(outcome: Outcome) -> None:
    foreseen, stop = outcome.foreseen, f"{outcome.stopped_s * 1e3:7.1f} ms {outcome.stop_error:+7.1%}"
    columns = [
        outcome.kind.value.ljust(8),
        f"pages {foreseen.pages.mid:8.0f} {outcome.pages:8} {outcome.pages_error:+7.1%}",
        f"stop {foreseen.stopped_s.mid * 1e3:7.1f} {stop}",
        f"takes {foreseen.seconds.mid:6.3f} {outcome.seconds:6.3f} s",
    ]
    print("  ".join(["", *columns]), flush=True)


if __name__ == "__main__":
    main()
