"""PageSet against Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pageset import EMPTY, PAGE_SIZE, PageSet

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=12).map(
    lambda pairs: [(first, first + length) for first, length in pairs]
)


def as_set(ranges: list[tuple[int, int]]) -> set[int]:
    return {page for first, end in ranges for page in range(first, end)}


def members(pages: PageSet) -> set[int]:
    return set(pages.pages().tolist())


def assert_normal(pages: PageSet) -> None:
    assert (pages.starts < pages.ends).all()
    assert (pages.ends[:-1] < pages.starts[1:]).all()


@given(RANGES, RANGES)
def test_algebra_is_that_of_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = PageSet.from_ranges(left), PageSet.from_ranges(right)
    sa, sb = as_set(left), as_set(right)
    for ours, theirs in (
        (a, sa), (a | b, sa | sb), (a & b, sa & sb), (a - b, sa - sb), (a ^ b, sa ^ sb),
    ):  # fmt: skip
        assert members(ours) == theirs
        assert ours.count == len(theirs)
        assert bool(ours) == bool(theirs)
        assert_normal(ours)
    assert (a <= b) == (sa <= sb)
    assert a.isdisjoint(b) == sa.isdisjoint(sb)
    assert (a == b) == (sa == sb)
    assert PageSet.union_all([a, b, a]) == a | b
    if a == b:
        assert hash(a) == hash(b)


@given(RANGES, st.integers(-2, 70), st.integers(-2, 70))
def test_clip_keeps_what_lies_inside(ranges: list[tuple[int, int]], first: int, end: int) -> None:
    clipped = PageSet.from_ranges(ranges).clip(first, end)
    assert members(clipped) == {page for page in as_set(ranges) if first <= page < end}
    assert_normal(clipped)


@given(RANGES, st.lists(st.tuples(st.integers(-2, 70), st.integers(0, 20)), max_size=8))
def test_counts_per_range(ranges: list[tuple[int, int]], windows: list[tuple[int, int]]) -> None:
    starts = np.array([first for first, _ in windows], dtype=np.int64)
    ends = starts + np.array([length for _, length in windows], dtype=np.int64)
    counted = PageSet.from_ranges(ranges).count_within(starts, ends)
    inside = as_set(ranges)
    assert counted.tolist() == [len(inside & set(range(a, b))) for a, b in zip(starts, ends, strict=True)]


@given(RANGES, st.integers(1, 9), st.none() | st.integers(1, 4))
def test_chunks_are_bounded_and_whole(ranges: list[tuple[int, int]], pages: int, pieces: int | None) -> None:
    whole = PageSet.from_ranges(ranges)
    chunks = list(whole.chunks(pages, pieces))
    assert all(0 < chunk.count <= pages for chunk in chunks)
    assert all(pieces is None or chunk.range_count <= pieces for chunk in chunks)
    assert [page for chunk in chunks for page in chunk.pages().tolist()] == whole.pages().tolist()
    if pieces is None:
        assert all(chunk.count == pages for chunk in chunks[:-1])


@given(RANGES)
def test_membership(ranges: list[tuple[int, int]]) -> None:
    pages, expected = PageSet.from_ranges(ranges), as_set(ranges)
    assert [page in pages for page in range(-1, 75)] == [page in expected for page in range(-1, 75)]
    assert pages.contains_each(range(-1, 75)).tolist() == [page in expected for page in range(-1, 75)]


def test_a_set_cannot_be_changed() -> None:
    pages = PageSet.from_ranges([(1, 4)])
    with pytest.raises(ValueError, match="read-only"):
        pages.starts[0] = 9


def test_the_arrays_given_are_left_writable() -> None:
    given_starts = np.array([1, 5])
    PageSet(given_starts, given_starts + 1)
    given_starts[0] = 2


def test_a_terabyte_is_one_range() -> None:
    pages = PageSet.from_addresses([0], [1 << 40])
    assert pages.range_count == 1
    assert pages.size_bytes == 1 << 40
    assert pages.count == (1 << 40) // PAGE_SIZE


def test_the_empty_set() -> None:
    assert not EMPTY
    assert PageSet.from_ranges([(5, 5)]) == EMPTY
    assert list(EMPTY.chunks(3)) == []
    assert EMPTY.count_within([0], [10]).tolist() == [0]
