"""A chain grows only by links that are finished, and what its next link builds on is known in between."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.checkpoint.chain_record import ChainRecord, NextLink
from engine.checkpoint.link import Engine, LinkResult
from engine.checkpoint.link_clock import LinkClock, Saved
from engine.errors import LinkFailed
from engine.images.layout import LinkKind

_DIRECTORY: Final = Path("/chain")
_REASONS: Final = ("somebody has cleared", "a link was changed")
_SEEN: Final = frozenset({("pages-1.img", 1, 4096, 7)})


def made(link: NextLink) -> LinkResult:
    saved = Saved(pages_written=1, pages_in_parent=0, size_bytes=4096, sync_s=0.0, stopped_us=0)
    return LinkClock().done(link, saved, restorable=False, notes=link.notes)


def finish(record: ChainRecord, kind: LinkKind = LinkKind.PRE_DUMP) -> LinkResult:
    link = record.next_link(kind)
    result = made(link)
    record.finish(result, [(link.path, _SEEN)])
    return result


class AnyOrder(RuleBasedStateMachine):
    """Links that are finished, fail, or are refused, and what breaks a chain off between or during them."""

    record: ChainRecord

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[LinkResult] = []
        self.under_way: NextLink | None = None
        self.reason = ""
        """Why nothing can be left to the links that are finished; of several reasons the first."""
        self.has_parent = False
        self.notes: list[str] = []
        self.first = 1

    @initialize(last_number=st.integers(0, 3))
    def begin(self, last_number: int) -> None:
        self.first = last_number + 1
        self.record = ChainRecord(Engine.MEMORY, _DIRECTORY, last_number=last_number)

    @property
    def is_ended(self) -> bool:
        return bool(self.finished) and self.finished[-1].kind is LinkKind.DUMP

    # -- a link

    @precondition(lambda self: not self.is_ended)
    @rule(kind=st.sampled_from(LinkKind))
    def order(self, kind: LinkKind) -> None:
        link = self.record.next_link(kind)
        assert (link.number, link.kind) == (self.first + len(self.finished), kind)
        assert link.path == _DIRECTORY / str(link.number)
        assert link.parent == (self.finished[-1].path if self.has_parent else None)
        full = [f"{self.reason}: this link is a full one"] if self.reason else []
        assert list(link.notes) == full + self.notes
        self.under_way = link

    @precondition(lambda self: self.under_way)
    @rule(has_common=st.booleans())
    def done(self, has_common: bool) -> None:
        assert self.under_way is not None
        result, self.under_way = made(self.under_way), None
        common = [(result.path.with_name(f"{result.number}.common"), _SEEN)] if has_common else []
        self.record.finish(result, [*common, (result.path, _SEEN)])
        self.finished.append(result)
        self.reason, self.notes, self.has_parent = "", [], True

    @precondition(lambda self: self.under_way)
    @rule()
    def fail(self) -> None:
        """Nobody tells the record."""
        self.under_way = None

    @precondition(lambda self: self.is_ended)
    @rule(kind=st.sampled_from(LinkKind))
    def refuse(self, kind: LinkKind) -> None:
        with pytest.raises(LinkFailed, match="ended with a dump"):
            self.record.next_link(kind)

    @rule(by=st.sampled_from((-1, 1)))
    def finish_another(self, by: int) -> None:
        other = made(_any_link(self.first + len(self.finished) + by))
        with pytest.raises(ValueError, match="is not the next one"):
            self.record.finish(other, [])

    # -- what breaks it off

    @precondition(lambda self: self.under_way is None)
    @rule(why=st.sampled_from(_REASONS), keeps_parent=st.booleans())
    def break_off(self, why: str, keeps_parent: bool) -> None:
        self.record.break_off(why, keeps_parent=keeps_parent)
        if self.finished:
            self.reason = self.reason or why
        self.has_parent = self.has_parent and keeps_parent

    @precondition(lambda self: self.under_way is None)
    @rule()
    def do_without_parent(self) -> None:
        self.record.do_without_parent()
        self.has_parent = False

    @precondition(lambda self: self.under_way is None)
    @rule()
    def note(self) -> None:
        self.record.note("a process is new: saved in full")
        self.notes.append("a process is new: saved in full")

    # -- always

    @invariant()
    def only_what_is_finished_is_there(self) -> None:
        assert list(self.record.links) == self.finished
        assert self.record.is_ended is self.is_ended
        assert self.record.next_path.name == str(self.first + len(self.finished))
        assert self.record.why_full == self.reason

    @invariant()
    def the_parent_is_the_last_of_what_is_relied_on(self) -> None:
        assert bool(self.record.parts) is self.has_parent
        if self.has_parent:
            assert self.record.parts[-1][0] == self.finished[-1].path


def _any_link(number: int) -> NextLink:
    return NextLink(number, LinkKind.PRE_DUMP, _DIRECTORY / str(number), Engine.MEMORY, None, ())


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_why_a_link_has_to_be_a_full_one_is_told_by_the_first_that_is_there() -> None:
    record = ChainRecord(Engine.MEMORY, _DIRECTORY)
    finish(record)
    record.break_off("somebody has cleared")
    for _ in range(3):  # ordered, and failed
        record.next_link(LinkKind.PRE_DUMP)
    assert finish(record).notes == ("somebody has cleared: this link is a full one",)
    assert finish(record).notes == ()


def test_a_link_relies_on_all_links_since_the_last_full_one() -> None:
    record = ChainRecord(Engine.MEMORY, _DIRECTORY)
    for _ in range(2):
        finish(record)
    record.break_off("somebody has cleared")
    for _ in range(2):
        finish(record)
    assert [path.name for path, _ in record.parts] == ["3", "4"]
