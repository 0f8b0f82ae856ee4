"""The engines as data: which can, which cannot, and what can be done with a chain that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint.criu.directory import find_log
from engine.checkpoint.earlier import examine_chain
from engine.checkpoint.engines import examine_engines, go_on, open_chain
from engine.checkpoint.kinds import ENGINES
from engine.checkpoint.link import Engine
from engine.checkpoint.memory import MemoryChain
from engine.errors import BadImage, NotSupported
from engine.images.layout import SIDECAR, LinkKind
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.spread


def test_every_engine_says_what_it_holds_and_does(session: Session) -> None:
    reports = examine_engines(session)
    assert tuple(report.engine for report in reports) == ENGINES
    for report in reports:
        assert report.holds
        assert all(report.stops(kind) for kind in LinkKind)


def test_ours_stops_the_target_for_a_pre_dump_only_by_soft_dirty(session: Session, kind: TrackerKind) -> None:
    (ours,) = [report for report in examine_engines(session) if report.engine is Engine.MEMORY]
    assert not ours.is_restorable
    assert ("never" in ours.stops(LinkKind.PRE_DUMP)) is (kind is TrackerKind.WRITE_PROTECT)


def test_without_criu_its_report_says_why_for_both_kinds(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")
    (criu,) = [report for report in examine_engines(session) if report.engine is Engine.CRIU]
    assert "/nowhere/criu" in criu.why_no_dump
    assert criu.why_no_pre_dump == criu.why_no_dump
    assert criu.hint


def test_a_chain_of_the_engine_that_is_wanted_is_opened(session: Session, chain_directory: Path) -> None:
    chain = open_chain(Engine.MEMORY, session, chain_directory)
    assert isinstance(chain, MemoryChain)
    assert chain.pre_dump().path == chain_directory / "1"
    chain.close()


@pytest.mark.parametrize("engine", Engine)
def test_where_there_is_no_chain_no_engine_goes_on(
    engine: Engine, session: Session, chain_directory: Path
) -> None:
    with pytest.raises((BadImage, NotSupported)):
        go_on(engine, session, chain_directory)


def test_what_is_told_of_a_chain_that_is_there_is_what_going_on_with_it_then_does(
    target: ScriptedTarget, kind: TrackerKind, chain_directory: Path
) -> None:
    with Session(target.pid, kind) as session:
        first = open_chain(Engine.MEMORY, session, chain_directory)
        first.pre_dump()
        first.pre_dump()
    with Session(target.pid, kind) as session:
        earlier = examine_chain(session, chain_directory)
        assert earlier is not None
        assert (earlier.engine, earlier.link_count, earlier.why_not) == (Engine.MEMORY, 2, "")
        chain = go_on(Engine.MEMORY, session, chain_directory)
        # What images do not tell is not known, and not 0.
        assert [(link.number, link.seconds, link.copy_s) for link in chain.links] == [
            (1, None, None),
            (2, None, None),
        ]
        link = chain.pre_dump()
        assert link.number == 3
        assert bool(link.pages_in_parent) is not bool(earlier.why_full)
        assert bool(earlier.why_full) is (kind is TrackerKind.WRITE_PROTECT)


def test_a_chain_that_has_ended_or_is_of_another_process_is_not_gone_on_with(
    session: Session, chain_directory: Path
) -> None:
    chain = open_chain(Engine.MEMORY, session, chain_directory)
    chain.pre_dump()
    with ScriptedTarget() as other, Session(other.pid) as of_other:
        earlier = examine_chain(of_other, chain_directory)
        assert earlier is not None
        assert "another process" in earlier.why_not
    chain.dump()
    earlier = examine_chain(session, chain_directory)
    assert earlier is not None
    assert "ended with a dump" in earlier.why_not


def test_a_chain_that_does_not_say_whose_it_is_is_not_gone_on_with(
    session: Session, chain_directory: Path
) -> None:
    link = open_chain(Engine.MEMORY, session, chain_directory).pre_dump()
    (link.path / SIDECAR).unlink()
    earlier = examine_chain(session, chain_directory)
    assert earlier is not None
    assert earlier.engine is None
    assert "does not say" in earlier.why_not


def test_where_there_is_no_chain_there_is_nothing_to_go_on_with(session: Session, tmp_path: Path) -> None:
    assert examine_chain(session, tmp_path) is None


def test_a_log_is_found_in_the_link_or_beside_it_unless_it_is_of_an_earlier_attempt(tmp_path: Path) -> None:
    link = tmp_path / "1"
    assert find_log(link) is None
    beside = tmp_path / "1.log"
    beside.write_text("failed")
    assert find_log(link) == beside
    assert find_log(link, since_s=beside.stat().st_mtime + 1) is None
    link.mkdir()
    (link / "criu.log").write_text("made")
    assert find_log(link) == link / "criu.log"
