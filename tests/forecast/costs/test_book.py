"""What is known of costs, by who makes links and where they go."""

from __future__ import annotations

import pytest

from engine.checkpoint.link import Engine
from engine.forecast.costs.book import CostBook
from engine.forecast.costs.line import CostLine
from engine.forecast.costs.parts import Parts
from engine.images.layout import LinkKind
from engine.tracking.sample import Sample
from engine.tracking.session import Session
from tests.forecast.histories import MIB, link
from tests.targets.scripted import ScriptedTarget

HERE, THERE = 1, 2
LINE = CostLine.of(0.001, 0.001 / MIB)
PARTS = Parts(LINE, LINE, LINE, LINE)
PRE_DUMP = link(LinkKind.PRE_DUMP, 100 * MIB, 5.0)


@pytest.fixture
def sample(target: ScriptedTarget) -> Sample:
    with Session(target.pid) as session:
        return session.tick()


@pytest.fixture
def book(sample: Sample) -> CostBook:
    """With links of memory alone chosen, to a file system that was probed."""
    book = CostBook()
    book.keep_probe(HERE, PARTS)
    book.choose(Engine.MEMORY, HERE)
    book.see(sample)
    return book


def has_model(book: CostBook) -> bool:
    return book.model is not None


def done(book: CostBook) -> int:
    """How many pre-dumps the model has learnt from."""
    assert book.model is not None
    return len(book.model.pre_dump.done)


def test_a_model_takes_a_probe_and_a_tick_whichever_comes_first(sample: Sample) -> None:
    ticked, probed = CostBook(), CostBook()
    ticked.see(sample)
    assert not has_model(ticked)
    probed.keep_probe(HERE, PARTS)
    probed.choose(Engine.MEMORY, HERE)
    assert not has_model(probed)
    ticked.keep_probe(HERE, PARTS)
    ticked.choose(Engine.MEMORY, HERE)
    probed.see(sample)
    assert has_model(ticked)
    assert ticked.model == probed.model


def test_before_there_is_a_model_a_link_teaches_nothing() -> None:
    book = CostBook()
    book.learn(PRE_DUMP)
    assert not has_model(book)


def test_what_was_learnt_of_one_place_is_still_known_after_another_was_chosen(book: CostBook) -> None:
    book.learn(PRE_DUMP)
    assert not book.is_probed(THERE)
    book.keep_probe(THERE, PARTS)
    book.choose(Engine.MEMORY, THERE)
    assert done(book) == 0
    book.choose(Engine.MEMORY, HERE)
    assert done(book) == 1


def test_a_file_system_is_probed_once_for_all_engines_and_each_learns_by_itself(book: CostBook) -> None:
    book.learn(PRE_DUMP)
    assert book.is_probed(HERE)
    book.choose(Engine.CRIU, HERE)
    assert book.model is not None
    assert book.model.engine is Engine.CRIU
    assert done(book) == 0


def test_whether_pre_dumps_can_be_made_changes_nothing_of_what_was_learnt(book: CostBook) -> None:
    book.learn(PRE_DUMP)
    book.choose(Engine.MEMORY, HERE, can_pre_dump=False)
    assert book.model is not None
    assert not book.model.can_pre_dump
    assert done(book) == 1
