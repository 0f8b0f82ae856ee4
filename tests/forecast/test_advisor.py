"""The advisor on real targets, driven as a program drives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from engine.checkpoint.link import Engine
from engine.checkpoint.memory import MemoryChain
from engine.errors import LinkFailed
from engine.forecast import advisor as advising
from engine.forecast.advisor import Advice, Advisor
from engine.forecast.driver import Driver
from engine.forecast.making import make_link
from engine.forecast.plans.verdict import Verdict
from engine.forecast.triggers.armed import Action
from engine.forecast.triggers.conditions import StopBelow, Trigger
from engine.images.layout import LinkKind
from engine.tracking.session import Session
from engine.workloads import start

INTERVAL_S = 0.05
SIZES = {"cold_pages": 4096, "hot_pages": 512, "pages_per_s": 5000}
NOON = datetime(2030, 1, 1, 12)


@pytest.fixture
def session() -> Iterator[Session]:
    with start("steady", **SIZES) as workload, Session(workload.pid) as session:
        session.arm()
        yield session


def watch(advisor: Advisor, session: Session, shown: int) -> Advice:
    """Tick as the advisor wants it until so many ticks could be shown, and then ask it."""
    for _ in Driver(session, advisor, INTERVAL_S).ticks(_sleep):
        shown -= not advisor.is_looking_closely
        if not shown:
            break
    return advisor.advise(NOON)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def test_with_ticks_and_a_directory_there_is_a_forecast(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    assert watch(advisor, session, 4).forecast.verdict is Verdict.UNKNOWN, "nothing is known of costs"
    advisor.calibrate(tmp_path / "chain")
    advice = advisor.advise(NOON)
    assert advice.costs is not None
    assert advice.forecast.now.dump.pages.mid >= sum((SIZES["cold_pages"], SIZES["hot_pages"]))
    assert advice.forecast.plans[1].dump.pages.mid <= 2 * SIZES["hot_pages"]
    assert advice.decision.action is Action.WAIT


def test_it_may_be_calibrated_before_the_first_tick(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path)
    assert watch(advisor, session, 3).forecast.plans


def test_each_link_is_kept_beside_what_was_foreseen_of_it(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path)
    chain = MemoryChain(session, tmp_path / "chain")
    advisor.chain_begun()
    for kind in (LinkKind.PRE_DUMP, LinkKind.DUMP):
        watch(advisor, session, 3)
        make_link(advisor, chain, kind)
    truth = advisor.advise(NOON).truth
    assert [outcome.foreseen.kind for outcome in truth.outcomes] == [LinkKind.PRE_DUMP, LinkKind.DUMP]
    assert (truth.pages.count, truth.stops.count) == (2, 1)
    assert truth.pages.median < 0.5
    again = watch(advisor, session, 2).forecast
    assert again.now.dump.pages.mid >= SIZES["cold_pages"], "what comes next is a new chain"


def test_a_link_that_was_not_made_teaches_nothing(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path)
    watch(advisor, session, 3)
    with pytest.raises(LinkFailed), advisor.link(LinkKind.PRE_DUMP):
        raise LinkFailed("no")
    assert advisor.advise(NOON).truth.outcomes == ()


def test_a_trigger_asks_for_each_link_once(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path)
    watch(advisor, session, 3)
    chain = MemoryChain(session, tmp_path / "chain")
    advisor.arm(Trigger(StopBelow(3600.0)), NOON)
    decided = advisor.advise(NOON)
    assert decided.decision.action is Action.DUMP
    assert [gauge.fraction for gauge in decided.gauges] == [1.0]
    assert advisor.advise(NOON).decision.action is Action.WAIT, "it is being made"
    with advisor.link(LinkKind.DUMP) as made:
        assert advisor.advise(NOON).decision.action is Action.WAIT
        made(chain.dump())
    assert advisor.advise(NOON).armed is None


def test_a_trigger_can_be_taken_back(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path)
    watch(advisor, session, 3)
    advisor.arm(Trigger(StopBelow(3600.0)), NOON)
    advisor.disarm()
    assert advisor.advise(NOON).decision.action is Action.WAIT


def test_a_file_system_is_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"here": 1, "beside": 1, "there": 2}
    monkeypatch.setattr(advising, "device_of", lambda directory: devices[directory.name])
    advisor = Advisor()
    advisor.calibrate(tmp_path / "here")
    assert not advisor.needs_probe(tmp_path / "beside")
    assert advisor.needs_probe(tmp_path / "there")


def test_where_no_pre_dump_can_be_made_none_is_foreseen(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    advisor.calibrate(tmp_path, Engine.CRIU, can_pre_dump=False)
    forecast = watch(advisor, session, 3).forecast
    assert len(forecast.plans) == 1
    assert forecast.verdict in (Verdict.DUMP_NOW, Verdict.WAIT, Verdict.WILL_NOT_CONVERGE)
    assert forecast.others == ()


def test_it_can_be_calibrated_while_another_thread_ticks(session: Session, tmp_path: Path) -> None:
    advisor = Advisor()
    calibrating = threading.Thread(target=advisor.calibrate, args=(tmp_path,))
    calibrating.start()
    watch(advisor, session, 3)
    calibrating.join()
    assert watch(advisor, session, 1).forecast.plans
