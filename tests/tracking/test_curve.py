"""The working-set curve, against a list of what was written when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pageset import EMPTY, PageSet
from engine.tracking.ages import NEVER, PageAges
from engine.tracking.curve import (
    MOST_KNOTS,
    NO_CURVE,
    CollectTimes,
    CurveKind,
    WorkingSetCurve,
    summed,
)

ALL = PageSet([0], [1 << 40])
PAGES = st.frozensets(st.integers(0, 40), max_size=12)
TICKS = st.lists(st.tuples(PAGES, st.integers(1, 50), st.booleans()), min_size=1, max_size=12)
"""What is written until a tick, how long that is, and whether the tick re-arms."""


class Watched:
    """Page ages and collect times, fed as a tracked process feeds them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ages: PageAges = NEVER
        self.times = CollectTimes()
        self.times.arm(0.0)
        self.epoch: set[int] = set()
        self.epoch_began_s = 0.0
        self.history: list[tuple[float, frozenset[int]]] = []
        """Until when, and what was written until then."""
        self.rearmed_s = [0.0]
        self.looked_s: list[float] = []

    def tick(self, written: frozenset[int], gap: float, rearms: bool) -> None:
        self.now_s += gap
        self.history.append((self.now_s, written))
        fresh = written - self.epoch
        self.ages = self.ages.written(PageSet.from_pages(sorted(fresh)), self.now_s)
        self.times.collect(self.now_s, rearmed=rearms)
        self.epoch |= written
        if rearms:
            self.epoch, self.looked_s = set(), []
            self.rearmed_s.append(self.now_s)
        else:
            self.looked_s.append(self.now_s)

    def distinct(self, after_s: float, until_s: float, among: PageSet = ALL) -> int:
        written = {page for time_s, pages in self.history if after_s < time_s <= until_s for page in pages}
        return sum(page in among for page in written)


@given(TICKS)
def test_it_counts_the_distinct_pages_of_every_window_that_begins_with_a_rearming(
    ticks: list[tuple[frozenset[int], int, bool]],
) -> None:
    watched = Watched()
    for written, gap, rearms in ticks:
        watched.tick(written, gap, rearms)
        curve = watched.times.curve(watched.ages, ALL)
        assert curve.spans_s[0] == 0
        assert curve.pages[0] == 0
        if rearms:
            assert curve.kind is CurveKind.RECENT
            assert curve.window_s == watched.now_s
            for moment_s in watched.rearmed_s:
                assert curve.at(watched.now_s - moment_s) == watched.distinct(moment_s, watched.now_s)
        else:
            began_s = watched.rearmed_s[-1]
            assert curve.kind is CurveKind.GROWTH
            for moment_s in watched.looked_s:
                assert curve.at(moment_s - began_s) == watched.distinct(began_s, moment_s)


@given(TICKS, st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=4))
def test_only_pages_that_a_checkpoint_would_save_count(
    ticks: list[tuple[frozenset[int], int, bool]], ranges: list[tuple[int, int]]
) -> None:
    dumpable = PageSet.from_ranges((first, first + length) for first, length in ranges)
    watched = Watched()
    for written, gap, _ in ticks:
        watched.tick(written, gap, rearms=True)
    curve = watched.times.curve(watched.ages, dumpable)
    for moment_s in watched.rearmed_s:
        assert curve.at(watched.now_s - moment_s) == watched.distinct(moment_s, watched.now_s, dumpable)


@given(TICKS)
def test_it_never_descends(ticks: list[tuple[frozenset[int], int, bool]]) -> None:
    watched = Watched()
    for written, gap, rearms in ticks:
        watched.tick(written, gap, rearms)
    curve = watched.times.curve(watched.ages, ALL)
    assert (np.diff(curve.spans_s) > 0).all()
    assert (np.diff(curve.pages) >= 0).all()


def test_however_long_it_watches_it_stays_small_and_exact_where_it_knows() -> None:
    watched = Watched()
    for number in range(5 * MOST_KNOTS):
        watched.tick(frozenset({number % 300}), 1, rearms=True)
    curve = watched.times.curve(watched.ages, ALL)
    assert len(curve.spans_s) <= MOST_KNOTS + 1
    assert curve.window_s == 5 * MOST_KNOTS
    for span_s, pages in zip(curve.spans_s, curve.pages, strict=True):
        assert pages == min(span_s, 300)
    newest = curve.spans_s[: MOST_KNOTS // 2]
    assert newest.tolist() == list(range(MOST_KNOTS // 2)), "the newest ticks are all there"


def test_arming_anew_begins_anew() -> None:
    watched = Watched()
    watched.tick(frozenset({1, 2}), 1, rearms=True)
    watched.times.arm(1.0)
    assert watched.times.curve(NEVER, ALL).window_s == 0


def test_before_it_is_armed_nothing_is_known() -> None:
    assert CollectTimes().curve(NEVER, EMPTY) is NO_CURVE
    assert NO_CURVE.window_s == NO_CURVE.finest_s == NO_CURVE.at(5) == 0


def test_an_epoch_that_somebody_else_began_has_no_known_beginning() -> None:
    times = CollectTimes()
    ages = NEVER.written(PageSet.from_pages([1, 2]), 1.0)
    times.collect(1.0, rearmed=False)
    assert times.curve(ages, ALL) is NO_CURVE
    times.collect(2.0, rearmed=True)
    assert times.curve(ages, ALL).pages[-1] == 0


def curve_of(points: dict[float, int], kind: CurveKind = CurveKind.RECENT) -> WorkingSetCurve:
    return WorkingSetCurve(kind, np.array(list(points)), np.array(list(points.values()), np.int64))


class TestTree:
    """The curve of a tree is the sum of those of its processes."""

    def test_each_window_holds_the_pages_of_all(self) -> None:
        curve = summed([curve_of({0: 0, 1: 10, 2: 20, 4: 30}), curve_of({0: 0, 2: 4, 4: 6})])
        assert curve.at(1) == 12
        assert curve.at(2) == 24
        assert curve.at(4) == 36

    def test_a_child_wrote_nothing_before_it_was_born(self) -> None:
        curve = summed([curve_of({0: 0, 10: 100}), curve_of({0: 0, 1: 7})])
        assert curve.at(10) == 107
        assert curve.window_s == 10

    def test_of_one_process_it_is_its_own(self) -> None:
        only = curve_of({0: 0, 1: 5})
        assert summed([only, NO_CURVE]) is only
        assert summed([]) is NO_CURVE


@pytest.mark.parametrize("span_s", [0.5, 1.0, 1.5, 3.0, 9.0])
def test_a_curve_cut_short_is_the_same_up_to_there(span_s: float) -> None:
    whole = curve_of({0: 0, 1: 10, 2: 16, 4: 20})
    cut = whole.up_to(span_s)
    assert cut.window_s == min(span_s, 4)
    for at_s in np.linspace(0, cut.window_s, 7):
        assert cut.at(float(at_s)) == pytest.approx(whole.at(float(at_s)), abs=0.51)
