"""Memory that was moved to where other memory was is told by its page frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.pagemap import Pagemap
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet
from engine.tracking import frame_marks
from engine.tracking.frame_marks import NO_MARKS, FrameMarks, can_tell
from tests.targets.scripted import ScriptedTarget

SPAN = PAGE_SIZE // 8
"""Pages of which one page table has the entries."""

page_sets = st.lists(
    st.tuples(st.integers(0, 6 * SPAN), st.integers(1, 2 * SPAN)).map(lambda pair: (pair[0], sum(pair))),
    max_size=6,
).map(PageSet.from_ranges)


class Memory:
    """Page frames, by page."""

    def __init__(self, frames: dict[int, int]) -> None:
        self.by_page = frames

    def frames(self, pages: list[int]) -> list[int]:
        return [self.by_page.get(page, 0) for page in pages]


def take(memory: Any, pages: PageSet) -> FrameMarks:
    return FrameMarks.take(memory, pages)


def all_of(pages: PageSet, first_frame: int) -> dict[int, int]:
    return {page: first_frame + page for page in pages.pages().tolist()}


class TestRule:
    @pytest.fixture(autouse=True, scope="class")
    def frames_are_told(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(frame_marks, "can_tell", lambda: True)
            yield

    @given(pages=page_sets, asked=page_sets, replaced=st.sets(st.integers(0, 8)))
    def test_of_marked_pages_those_in_replaced_page_tables_have_moved(
        self, pages: PageSet, asked: PageSet, replaced: set[int]
    ) -> None:
        asked &= pages
        memory = Memory(all_of(pages, 1000))
        marks = take(memory, pages)
        for page in memory.by_page:
            if page // SPAN in replaced:
                memory.by_page[page] += 100_000
        expected = [page for page in asked.pages().tolist() if page // SPAN in replaced]
        assert marks.moved(memory, asked) == PageSet.from_pages(expected)  # type: ignore[arg-type]

    @given(pages=page_sets, written=st.sets(st.integers(0, 8 * SPAN)))
    def test_pages_that_stay_where_they_are_have_not_moved_as_long_as_a_marked_one_is_there(
        self, pages: PageSet, written: set[int]
    ) -> None:
        memory = Memory(all_of(pages, 1000))
        marks = take(memory, pages)
        for page in written & memory.by_page.keys():
            memory.by_page[page] += 100_000  # as when it is copied on write
        moved = marks.moved(memory, pages)  # type: ignore[arg-type]
        lost = {page // SPAN for page in moved.pages().tolist()}
        assert all({first, last} <= written for first, last in marks.pages.tolist() if first // SPAN in lost)

    def test_without_marks_everything_may_have_moved(self) -> None:
        pages = PageSet.from_ranges([(5, 2000)])
        memory: Any = Memory(all_of(pages, 1))
        assert NO_MARKS.moved(memory, pages) == pages
        assert NO_MARKS.moved(memory, EMPTY) == EMPTY

    def test_a_page_that_is_not_there_is_no_sign_that_it_stayed(self) -> None:
        pages = PageSet.from_ranges([(0, SPAN)])
        memory: Any = Memory({})
        assert take(memory, pages).moved(memory, pages) == pages

    def test_marks_can_be_put_down_and_taken_up_again(self) -> None:
        pages = PageSet.from_ranges([(5, 2000)])
        memory: Any = Memory(all_of(pages, 1))
        marks = take(memory, pages)
        same = FrameMarks.from_pages(np.array(marks.pages.ravel()), np.array(marks.frames.ravel()))
        assert same.moved(memory, pages) == EMPTY


def test_who_may_not_know_frames_is_told_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_marks, "can_tell", lambda: False)
    pages = PageSet.from_ranges([(5, 2000)])
    memory: Any = Memory({})
    assert not take(memory, pages).are_there
    assert NO_MARKS.moved(memory, pages) == EMPTY


@pytest.mark.skipif(not can_tell(), reason="page frames are not told to us")
def test_a_real_process_that_moves_whole_page_tables(target: ScriptedTarget, pagemap: Pagemap) -> None:
    pages = 2 * pages_per_huge_page()
    unit = pages_per_huge_page() * PAGE_SIZE
    source, place, other = (-(-target.map(2 * pages) // unit) * unit for _ in range(3))
    for base in (source, place, other):
        target.fill(range(pages), base)
    watched = PageSet.union_all([target.pages(range(pages), base) for base in (place, other)])
    marks = FrameMarks.take(pagemap, watched)
    target.fill(range(pages), other, value=3)
    assert marks.moved(pagemap, watched) == EMPTY
    target.move(source, pages, place)
    assert marks.moved(pagemap, watched) == PageSet.from_ranges(
        [(place >> PAGE_SHIFT, (place >> PAGE_SHIFT) + pages)]
    )
