"""Each written page is given to the fault that made it so, and to no other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.attribution.matching import Matched, Touches, match
from engine.pageset import PageSet

BEGAN_NS = 1000


def touches(*faults: tuple[int, int, int]) -> Touches:
    """Of these times, pages and threads."""
    columns = np.array(faults, np.int64).reshape(-1, 3)
    ones = np.ones(len(columns), np.int32)
    return Touches(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int32), ones, ones)


def owners(matched: Matched) -> dict[int, int]:
    """Which thread has which page."""
    return dict(zip(matched.writes.pages.tolist(), matched.writes.tids.tolist(), strict=True))


def matched(faults: list[tuple[int, int, int]], written: list[int], huge_pages: int = 1) -> Matched:
    return match(touches(*faults), PageSet.from_pages(written), BEGAN_NS, huge_pages)


def test_a_written_page_is_its_writers() -> None:
    found = matched([(1, 10, 7), (2, 11, 8)], [10, 11])
    assert owners(found) == {10: 7, 11: 8}
    assert not found.unattributed


def test_a_page_that_was_only_read_is_nobodys() -> None:
    found = matched([(1, 10, 7), (2, 99, 8)], [10])
    assert owners(found) == {10: 7}
    assert not len(found.later)


def test_what_no_fault_explains_is_said_to_be_so_and_not_spread() -> None:
    assert list(matched([(1, 10, 7)], [10, 11, 12]).unattributed.pages()) == [11, 12]
    assert list(matched([], [10]).unattributed.pages()) == [10]


def test_of_a_read_and_the_write_after_it_the_write_counts() -> None:
    assert owners(matched([(1, 10, 7), (2, 10, 8)], [10])) == {10: 8}


def test_a_write_after_the_next_epoch_began_is_kept_for_it() -> None:
    found = matched([(1, 10, 7), (BEGAN_NS + 1, 10, 8), (BEGAN_NS + 2, 20, 9)], [10])
    assert owners(found) == {10: 7}
    again = match(found.later, PageSet.from_pages([10, 20]), 2 * BEGAN_NS, 1)
    assert owners(again) == {10: 8, 20: 9}


def test_a_write_while_the_tick_looks_counts_if_the_page_is_reported() -> None:
    assert owners(matched([(BEGAN_NS + 1, 10, 7)], [10])) == {10: 7}


def test_one_fault_in_a_huge_page_that_was_written_whole_explains_all_of_it() -> None:
    whole = list(range(512, 1024))
    found = matched([(1, 600, 7)], whole, huge_pages=512)
    assert (found.extra.tolist(), len(found.unattributed.pages())) == ([511], 0)
    two = matched([(1, 600, 7), (1, 601, 7)], whole, huge_pages=512)
    assert (two.extra.tolist(), two.unattributed.count) == ([0, 0], 510)
    part = matched([(1, 600, 7)], whole[:-1], huge_pages=512)
    assert (part.extra.tolist(), part.unattributed.count) == ([0], 510)


FAULTS = st.lists(st.tuples(st.integers(0, 2 * BEGAN_NS), st.integers(0, 40), st.integers(1, 5)), max_size=60)


@given(FAULTS, st.sets(st.integers(0, 40)))
def test_all_that_was_written_is_either_somebodys_or_unattributed(
    faults: list[tuple[int, int, int]], written: set[int]
) -> None:
    found = matched(faults, sorted(written))
    theirs = set(found.writes.pages.tolist())
    rest = set(found.unattributed.pages().tolist())
    assert theirs | rest == written
    assert not theirs & rest
    assert len(theirs) == len(found.writes)
    assert theirs == written & {page for _, page, _ in faults}
    assert all(time > BEGAN_NS for time in found.later.times_ns.tolist())
