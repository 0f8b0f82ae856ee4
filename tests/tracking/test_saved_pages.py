"""What images hold of a process, where memory is moved without showing as written: told by page frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.kernel.maps import Maps
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.tracking import frame_marks
from engine.tracking.saved_pages import SavedPages
from engine.tracking.tracker import Collected

SPAN = PAGE_SIZE // 8
"""Pages of which one page table has the entries."""
FIRST = PageSet.from_ranges([(0, SPAN)])
SECOND = PageSet.from_ranges([(SPAN, 2 * SPAN)])
ALL = FIRST | SECOND


class Memory:
    """Two page tables full of pages, each page in a frame of its own."""

    def __init__(self) -> None:
        self.by_page = {page: 1000 + page for page in ALL.pages().tolist()}

    def frames(self, pages: list[int]) -> list[int]:
        return [self.by_page[page] for page in pages]

    def move_to(self, pages: PageSet) -> None:
        """Other memory stands where these pages were."""
        for page in pages.pages().tolist():
            self.by_page[page] += 100_000


@pytest.fixture
def memory() -> Iterator[Memory]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_marks, "can_tell", lambda: True)
        yield Memory()


@pytest.fixture
def saved(memory: Any) -> SavedPages:
    """A first image holds everything."""
    made = SavedPages()
    made.watch_moves(memory)
    assert made.begin_link(ALL) == (ALL, EMPTY)
    made.finish_link(ALL)
    return made


def test_what_was_moved_since_an_image_is_not_left_to_it(saved: SavedPages, memory: Memory) -> None:
    memory.move_to(FIRST)
    assert saved.begin_link(ALL) == (FIRST, SECOND)


def test_what_is_moved_while_an_image_is_made_is_not_left_to_it(saved: SavedPages, memory: Memory) -> None:
    saved.begin_link(ALL)
    memory.move_to(SECOND)
    saved.finish_link(ALL)
    assert saved.begin_last_link(ALL) == (SECOND, FIRST)


def test_what_was_moved_before_an_image_that_failed_is_not_left_to_the_one_before(
    saved: SavedPages, memory: Memory
) -> None:
    memory.move_to(FIRST)
    saved.begin_link(ALL)
    saved.abandon_link()
    assert saved.begin_link(ALL) == (FIRST, SECOND)


def test_what_is_moved_while_an_image_fails_is_not_left_to_the_one_before(
    saved: SavedPages, memory: Memory
) -> None:
    saved.begin_link(ALL)
    memory.move_to(FIRST)
    saved.abandon_link()
    assert saved.begin_link(ALL) == (FIRST, SECOND)


def test_a_look_finds_what_was_moved(saved: SavedPages, memory: Memory) -> None:
    memory.move_to(SECOND)
    saved.note_moves()
    assert saved.clean == FIRST


def test_an_image_of_an_earlier_program_is_compared_with_the_marks_of_its_time(
    saved: SavedPages, memory: Any
) -> None:
    memory.move_to(FIRST)
    later = SavedPages()
    later.watch_moves(memory)
    later.adopt(ALL, saved.marks)
    assert later.clean == SECOND


def test_a_tracker_that_sees_moves_needs_no_frames() -> None:
    saved = SavedPages()
    saved.begin_link(ALL)
    saved.finish_link(ALL)
    assert saved.begin_link(ALL) == (EMPTY, ALL)
    assert not saved.marks.are_there


def test_nothing_of_a_process_without_a_tracker_becomes_clean(saved: SavedPages) -> None:
    saved.begin_link_unseen()
    saved.finish_link(ALL)
    assert saved.clean == EMPTY


@pytest.mark.parametrize(
    ("found", "clean"),
    [
        (Collected(Maps(), written=FIRST), SECOND),
        (Collected(Maps(), doubtful=FIRST), SECOND),
        (Collected(Maps(), cleared_by_others=True), EMPTY),
    ],
    ids=["written", "doubtful", "cleared by another program"],
)
def test_whatever_a_tracker_tells_against_a_page_counts(
    saved: SavedPages, found: Collected, clean: PageSet
) -> None:
    saved.note(found)
    assert saved.clean == clean
