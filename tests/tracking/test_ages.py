"""Ages of pages, against a dictionary."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.maps import Maps, Vma, VmaKind
from engine.pageset import PAGE_SIZE, PageSet
from engine.tracking.ages import NEVER

WRITES = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=5), max_size=6
)  # fmt: skip


def make_vma(first: int, end: int) -> Vma:
    return Vma(
        first * PAGE_SIZE, end * PAGE_SIZE, "rw-p", 0, "00:00", 0, b"", "[anon]", VmaKind.ANON
    )  # fmt: skip


@given(WRITES, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=3))
def test_each_page_has_the_time_of_its_last_write(
    writes: list[list[tuple[int, int]]], kept: list[tuple[int, int]]
) -> None:
    model: dict[int, float] = {}
    ages = NEVER
    for stamp, ranges in enumerate(writes):
        pages = PageSet.from_ranges((first, first + length) for first, length in ranges)
        ages = ages.written(pages, float(stamp))
        model.update(dict.fromkeys(pages.pages().tolist(), float(stamp)))
        assert (ages.starts[1:] >= ages.ends[:-1]).all()
    assert set(ages.pages.pages().tolist()) == set(model)
    known = zip(ages.starts.tolist(), ages.ends.tolist(), ages.stamps_s.tolist(), strict=True)
    assert {page: stamp for start, end, stamp in known for page in range(start, end)} == model
    mapped = PageSet.from_ranges((first, first + length) for first, length in kept)
    ages = ages.within(mapped)
    model = {page: stamp for page, stamp in model.items() if page in mapped}
    bounds = [(0, 10), (10, 11), (11, 40), (45, 80)]
    maps = Maps.of(tuple(make_vma(first, end) for first, end in bounds))
    newest = ages.last_write_s(maps).tolist()
    for (first, end), found in zip(bounds, newest, strict=True):
        expected = [stamp for page, stamp in model.items() if first <= page < end]
        assert found == max(expected) if expected else math.isnan(found)


def test_nothing_written_costs_nothing() -> None:
    assert NEVER.written(PageSet(), 1.0) is NEVER
    assert np.isnan(NEVER.last_write_s(Maps.of((make_vma(0, 4),)))).all()
