"""A page is left out of an image only if the last good image holds it as it is now, whatever happens when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.pageset import EMPTY, PageSet
from engine.tracking.clean_pages import CleanPages

_PAGES = range(6)
_some_pages = st.frozensets(st.sampled_from(_PAGES))


def _set_of(pages: Iterable[int]) -> PageSet:
    return PageSet.from_pages(sorted(pages))


def _in(pages: PageSet) -> set[int]:
    return set(pages.pages().tolist())


@dataclass
class _Image:
    """One that is being made: the memory that it is to be a picture of, and what it takes from where."""

    memory: dict[int, int]
    needed: set[int]
    held: dict[int, int | None] = field(default_factory=dict)


class AnyOrder(RuleBasedStateMachine):
    """Memory whose content is a number for each mapped page, never used twice, and the last good image of it.

    Nothing here keeps account of what is clean: that is read off the image and the memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clean = CleanPages()
        self.memory: dict[int, int] = {}
        self.image: dict[int, int | None] = {}
        self.under_way: list[_Image] = []
        self._content = 0

    def _write(self, pages: Iterable[int]) -> None:
        for page in pages:
            self._content += 1
            self.memory[page] = self._content

    @initialize(pages=_some_pages)
    def begin(self, pages: frozenset[int]) -> None:
        self._write(pages)

    # -- what happens to the process

    @rule(pages=_some_pages)
    def write(self, pages: frozenset[int]) -> None:
        written = pages & self.memory.keys()
        self._write(written)
        self.clean.note_written(_set_of(written))

    @rule(pages=_some_pages)
    def unmap(self, pages: frozenset[int]) -> None:
        for page in pages:
            self.memory.pop(page, None)
        self.clean.keep_within(_set_of(self.memory.keys()))

    @rule(pages=_some_pages)
    def map_where_nothing_was(self, pages: frozenset[int]) -> None:
        """Nobody tells: whether its pages read as written is up to the kernel."""
        self._write(pages - self.memory.keys())

    @rule(pages=_some_pages)
    def write_unseen(self, pages: frozenset[int]) -> None:
        self._write(pages & self.memory.keys())
        self.clean.lose_track()

    # -- what happens to images

    @rule(left_out=_some_pages)
    def begin_link(self, left_out: frozenset[int]) -> None:
        """Some pages need no saving: they show a file, or are not in use."""
        memory = {page: content for page, content in self.memory.items() if page not in left_out}
        needed, held = self.clean.begin_link(_set_of(memory.keys()))
        assert _in(needed) | _in(held) == memory.keys()
        assert not _in(needed) & _in(held)
        # What is left out of it is read from the image before.
        assert all(self.image[page] == memory[page] for page in _in(held))
        self.under_way.append(_Image(memory, _in(needed), {page: self.image[page] for page in _in(held)}))

    @rule(pages=_some_pages)
    @precondition(lambda self: self.under_way)
    def copy(self, pages: frozenset[int]) -> None:
        """While the process runs: what is copied may be older or newer than what is there."""
        image = self.under_way[-1]
        for page in pages & image.needed:
            image.held[page] = self.memory.get(page)

    @rule(beyond=_some_pages, which=st.integers(0, 1))
    @precondition(lambda self: self.under_way)
    def finish_link(self, beyond: frozenset[int], which: int) -> None:
        """Also one that was given up for another, should it come to be after all.

        Another program makes some images, and its opinion of what must be saved may differ: what it holds
        beyond what was asked for is of no known moment.
        """
        image = self.under_way[-1 - which % len(self.under_way)]
        self.image = {
            page: image.held.get(page) for page in image.held.keys() | (beyond - image.memory.keys())
        }
        self.clean.finish_link(_set_of(self.image.keys()))
        self.under_way.clear()

    @rule()
    def abandon_link(self) -> None:
        self.under_way.clear()
        self.clean.abandon_link()

    @rule()
    def forget(self) -> None:
        """Another chain is begun; an image of the one before may still come to be, and is of no use."""
        self.under_way.clear()
        self.image = {}
        self.clean.forget()

    @rule(pages=_some_pages)
    def adopt(self, pages: frozenset[int]) -> None:
        self.under_way.clear()
        self.image = {page: self.memory[page] for page in pages & self.memory.keys()}
        self.clean.adopt(_set_of(self.image.keys()))

    @rule(covered=_some_pages)
    @precondition(lambda self: not self.under_way)
    def finish_one_that_nobody_began(self, covered: frozenset[int]) -> None:
        self.clean.finish_link(_set_of(covered))
        self.image = dict.fromkeys(covered)

    # -- what is always true

    @invariant()
    def no_page_is_clean_that_the_last_image_does_not_hold_as_it_is(self) -> None:
        for page in _in(self.clean.pages) & self.memory.keys():
            assert self.image.get(page) == self.memory[page], f"page {page}"

    @invariant()
    def a_clean_page_is_listed_by_the_last_image(self) -> None:
        assert _in(self.clean.pages) <= self.image.keys()

    @invariant()
    def what_an_image_relies_on_is_known(self) -> None:
        assert self.clean.is_relied_on == bool(self.clean.pages or self.under_way)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


def pages(*numbers: int) -> PageSet:
    return PageSet.from_pages(numbers)


def finished(dumpable: PageSet) -> CleanPages:
    clean = CleanPages()
    clean.begin_link(dumpable)
    clean.finish_link(dumpable)
    return clean


def test_what_an_image_holds_and_nothing_has_touched_is_left_to_it() -> None:
    clean = finished(pages(1, 2, 3))
    clean.note_written(pages(2))
    assert clean.begin_link(pages(1, 2, 3, 4)) == (pages(2, 4), pages(1, 3))


def test_an_image_that_failed_leaves_clean_what_was_clean() -> None:
    clean = finished(pages(1, 2, 3))
    clean.begin_link(pages(1, 2, 3, 4))
    clean.note_written(pages(3))
    clean.abandon_link()
    assert clean.pages == pages(1, 2)


def test_pages_written_while_an_image_is_made_are_pending_after_it() -> None:
    clean = CleanPages()
    clean.begin_link(pages(1, 2, 3))
    clean.note_written(pages(2))
    clean.finish_link(pages(1, 2, 3))
    assert clean.pages == pages(1, 3)


def test_pages_unmapped_while_an_image_is_made_do_not_come_back_as_clean() -> None:
    clean = CleanPages()
    clean.begin_link(pages(1, 2, 3))
    clean.keep_within(pages(1, 2))
    clean.finish_link(pages(1, 2, 3))
    assert clean.pages == pages(1, 2)


def test_nothing_is_clean_after_a_time_that_nobody_saw() -> None:
    clean = finished(pages(1, 2, 3))
    clean.begin_link(pages(1, 2, 3))
    clean.lose_track()
    clean.finish_link(pages(1, 2, 3))
    assert clean.pages == EMPTY


def test_pages_are_clean_with_regard_to_one_chain_only() -> None:
    clean = finished(pages(1, 2, 3))
    clean.begin_link(pages(1, 2, 3))
    clean.forget()
    clean.finish_link(pages(1, 2, 3))
    assert clean.pages == EMPTY
