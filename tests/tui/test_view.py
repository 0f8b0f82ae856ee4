"""What is shown of what is known, without a screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoint.claim import CLEARED
from engine.checkpoint.link import Engine
from engine.errors import NotPermitted
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode, TrackerKind
from tests.tui.driver import POSTGRES, TRAINING
from tests.tui.machine import ScriptedMachine, ScriptedTracking
from tui.messages import Sampled
from tui.orders import ChainOrder, LinkRequest
from tui.targets.picture import Picture
from tui.targets.watchlist import WatchList
from tui.view.can import can_do
from tui.view.facts import ChainFacts, Facts, Log, Look, Paused, Stage
from tui.view.made import view_of
from tui.view.shown import TargetView
from widgets.event_log import LogLine
from widgets.target_header import TargetState


@pytest.fixture
def facts(machine: ScriptedMachine) -> Facts:
    """Of a target that is armed and has ticked."""
    tracking = ScriptedTracking(machine, POSTGRES, TrackerKind.WRITE_PROTECT)
    tracking.is_armed = True
    return replace(
        Facts.of(POSTGRES, "postgres"), stage=Stage.WATCHED, is_armed=True, live=Look(tracking.sample(3))
    )


def view(facts: Facts, *, readonly: bool = False, now_s: float = 100.0) -> TargetView:
    return view_of(facts, readonly=readonly, now_s=now_s)


CHAIN = ChainFacts(Path("/chain"), Engine.MEMORY, (), is_ended=False)


def test_a_frozen_view_stays_while_more_is_known_and_tells_for_how_long(facts: Facts) -> None:
    frozen = replace(facts, paused=Paused(facts.live, 90.0))
    later = replace(frozen, live=Look(replace(facts.live.sample, number=4)))  # type: ignore[type-var]
    shown = view(later)
    assert shown.past.look is facts.live
    assert shown.status.state is TargetState.PAUSED
    assert shown.status.armed_s == 10.0
    assert "paused" in shown.banner.text


def test_a_next_link_that_is_full_is_said_in_the_header_and_with_the_chain_and_counted(facts: Facts) -> None:
    sound = replace(facts, chain=CHAIN)
    broken = replace(sound, why_full=CLEARED)
    assert not view(sound).chain.warning
    assert view(broken).chain.warning == f"{CLEARED}: the next link will be full"
    assert view(broken).status.notices[0].text == view(broken).chain.warning
    assert broken.next_bytes == broken.whole_bytes
    assert sound.next_bytes == sound.pending_bytes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stage": Stage.OPENING}, "opening process 40"),
        ({"stage": Stage.GONE}, "has exited"),
        ({"stage": Stage.REFUSED, "error": NotPermitted("[/] no", hint="be root")}, "[/] no — be root"),
        ({"is_armed": False}, "a shows every write"),
        ({}, ""),
    ],
)
def test_the_banner_says_what_stands_between_the_user_and_live_figures(
    facts: Facts, change: dict[str, object], said: str
) -> None:
    text = view(replace(facts, **change)).banner.text  # type: ignore[arg-type]
    assert said in text
    assert bool(said) is bool(text)


def test_nothing_can_be_done_where_one_only_reads_or_there_is_no_target(facts: Facts) -> None:
    acts = ("arm", "pre_dump", "dump", "when")
    assert all(can_do(facts, readonly=True, target_count=1)[act] is False for act in acts)
    assert all(can_do(None, readonly=False, target_count=0)[act] is None for act in acts)
    assert not set(acts) & set(can_do(facts, readonly=False, target_count=1))


def test_while_a_link_is_made_no_other_can_be_and_it_can_be_cancelled(facts: Facts) -> None:
    busy = replace(facts, request=LinkRequest(LinkKind.DUMP, ChainOrder(Path("/chain"))))
    can = can_do(busy, readonly=False, target_count=1)
    assert (can["pre_dump"], can["dump"], can["when"]) == (None, None, None)
    assert "cancel" not in can
    assert can_do(facts, readonly=False, target_count=1)["cancel"] is False


def test_a_mode_is_changed_and_a_target_turned_to_only_where_there_is_another(facts: Facts) -> None:
    both = replace(facts, modes=tuple(RateMode))
    assert can_do(facts, readonly=False, target_count=1)["next_mode"] is False
    assert not {"next_mode", "turn"} & set(can_do(both, readonly=False, target_count=2))


def test_a_log_keeps_the_newest_lines_and_counts_all() -> None:
    log = Log()
    for number in range(600):
        log = log.with_line(LogLine("12:34:56", str(number)))
    assert (len(log.lines), log.count, log.lines[-1].text) == (500, 600, "599")


def test_a_target_of_which_nothing_else_is_known_keeps_its_view(machine: ScriptedMachine) -> None:
    watched = WatchList(machine, lambda _: None, None)
    machine.ticking.clear()
    first = watched.watch(POSTGRES, interval_s=1.0, arm=False)
    watched.watch(TRAINING, interval_s=1.0, arm=False)
    picture = Picture(watched, readonly=False)
    before = picture.take(now_s=1.0, stop_budget_s=0.1)
    assert before.current is before.targets[1]
    first.sampled(Sampled(ScriptedTracking(machine, POSTGRES, TrackerKind.WRITE_PROTECT).sample(0), True, ()))
    after = picture.take(now_s=2.0, stop_budget_s=0.1)
    assert after.targets[0] is not before.targets[0]
    assert after.targets[1] is before.targets[1]
    machine.release()
    watched.leave_all()
    assert watched.join()
