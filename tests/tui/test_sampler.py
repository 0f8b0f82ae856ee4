"""The threads behind the dashboard, without the dashboard."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from engine.checkpoint.link import After
from engine.errors import Cancelled, DirtytopError, NotPermitted, TargetGone
from engine.forecast.advisor import Advisor
from engine.forecast.writes.expectation import CLOSE_LOOK_S
from engine.images.layout import LinkKind
from engine.tracking.sample import Event, EventKind, RateMode
from tests.tui.machine import ScriptedMachine
from tui.messages import (
    CommandFailed,
    EventsSeen,
    LinkMade,
    LinkNotMade,
    LinkProgressed,
    Sampled,
    SamplingFailed,
    TargetOpened,
)
from tui.orders import ChainOrder, LinkRequest
from tui.targets.target import Target
from tui.targets.told import Told
from tui.targets.watchlist import WatchList
from tui.threads.link_job import LinkJob
from tui.threads.process_watcher import ProcessesListed, ProcessWatcher
from tui.threads.sampler import HISTORY_POINTS, Sampler

PID = 40
SOON_S = 30.0
M = TypeVar("M")


class Posted:
    """Where the threads post to."""

    def __init__(self) -> None:
        self._messages: queue.Queue[object] = queue.Queue()

    def __call__(self, message: object) -> None:
        self._messages.put(message.what if isinstance(message, Told) else message)

    def next(self, kind: type[M]) -> M:
        """The next message of this kind; others are passed over."""
        while True:
            message = self._messages.get(timeout=SOON_S)
            if isinstance(message, kind):
                return message


@pytest.fixture
def posted() -> Posted:
    return Posted()


class Sampling:
    """A sampler of the scripted target."""

    def __init__(self, machine: ScriptedMachine, posted: Posted, interval_s: float = 0.001) -> None:
        self.sampler = Sampler(
            PID, lambda: machine.open_target(PID, None), posted, interval_s=interval_s, arm=False
        )
        self.sampler.start()


@pytest.fixture
def sampling(machine: ScriptedMachine, posted: Posted) -> Iterator[Sampling]:
    sampling = Sampling(machine, posted)
    posted.next(TargetOpened)
    yield sampling
    sampling.sampler.stop()
    machine.release()
    assert sampling.sampler.join(SOON_S)
    assert machine.opened[PID].is_closed


def test_arming_is_shown_by_the_samples_that_follow(sampling: Sampling, posted: Posted) -> None:
    assert not posted.next(Sampled).armed
    sampling.sampler.arm()
    while not posted.next(Sampled).armed:
        pass


def test_a_command_is_obeyed_at_once_though_the_interval_is_long(
    machine: ScriptedMachine, posted: Posted
) -> None:
    sampling = Sampling(machine, posted, interval_s=3600.0)
    posted.next(Sampled)
    sampling.sampler.arm()
    assert posted.next(Sampled).armed
    sampling.sampler.set_mode(RateMode.REARMING)
    posted.next(Sampled)
    sampling.sampler.stop()
    assert sampling.sampler.join(SOON_S)


def test_a_shorter_interval_holds_for_the_wait_under_way(machine: ScriptedMachine, posted: Posted) -> None:
    sampling = Sampling(machine, posted, interval_s=3600.0)
    posted.next(Sampled)
    sampling.sampler.set_interval(0.001)
    posted.next(Sampled)
    posted.next(Sampled)
    sampling.sampler.stop()
    assert sampling.sampler.join(SOON_S)


def test_of_ticks_close_together_only_the_one_that_begins_them_is_shown(
    sampling: Sampling, posted: Posted
) -> None:
    sampling.sampler.arm()
    shown: list[int] = []
    while len(shown) < 3:
        message = posted.next(Sampled)
        if message.armed:
            shown.append(message.sample.number)
    assert shown == [0, 1, 1 + len(CLOSE_LOOK_S) + 1]


def test_the_history_is_bounded(sampling: Sampling, posted: Posted) -> None:
    longest = 0
    for _ in range(HISTORY_POINTS + 50):
        longest = max(longest, len(posted.next(Sampled).history))
    assert longest == HISTORY_POINTS


def test_events_are_posted_apart_so_that_coalescing_loses_none(
    sampling: Sampling, machine: ScriptedMachine, posted: Posted
) -> None:
    event = Event(EventKind.JOINED, 41, "joined")
    machine.opened[PID].events.append(event)
    assert posted.next(EventsSeen).events == (event,)


def test_only_a_sample_of_the_same_target_replaces_a_sample(sampling: Sampling, posted: Posted) -> None:
    sample, newer = posted.next(Sampled), posted.next(Sampled)
    target = Target(PID)
    told = Told(target, sample)
    assert told.can_replace(Told(target, newer))
    assert not told.can_replace(Told(Target(41), newer))
    assert not told.can_replace(Told(target, EventsSeen(())))
    assert not Told(target, EventsSeen(())).can_replace(Told(target, EventsSeen(())))


def test_a_target_that_exits_stays_open_until_it_is_left(
    sampling: Sampling, machine: ScriptedMachine, posted: Posted
) -> None:
    machine.exit(PID)
    while posted.next(Sampled).sample.processes:
        pass
    assert not machine.opened[PID].is_closed


def test_a_target_that_cannot_be_opened_is_told_and_the_thread_ends(
    machine: ScriptedMachine, posted: Posted
) -> None:
    machine.open_errors[PID] = NotPermitted("no")
    sampling = Sampling(machine, posted)
    assert posted.next(SamplingFailed).error.message == "no"
    assert sampling.sampler.join(SOON_S)


def test_a_refused_command_is_told_and_ticks_go_on(
    sampling: Sampling, machine: ScriptedMachine, posted: Posted
) -> None:
    machine.opened[PID].refuses = NotPermitted("no")
    sampling.sampler.arm()
    assert posted.next(CommandFailed).error.message == "no"
    posted.next(Sampled)


def test_a_tick_that_fails_is_told(sampling: Sampling, machine: ScriptedMachine, posted: Posted) -> None:
    machine.opened[PID].breaks = NotPermitted("set-user-ID")
    assert posted.next(SamplingFailed).error.message == "set-user-ID"


def test_a_held_sampler_does_not_touch_its_target(
    sampling: Sampling, machine: ScriptedMachine, posted: Posted
) -> None:
    posted.next(Sampled)
    with sampling.sampler.held(SOON_S) as kept:
        assert kept
        ticks = machine.opened[PID].ticks
        sampling.sampler.arm()
        assert threading.Event().wait(0.05) is False
        assert machine.opened[PID].ticks == ticks
    while not posted.next(Sampled).armed:
        pass


def test_a_sampler_in_the_midst_of_a_tick_cannot_be_held(
    sampling: Sampling, machine: ScriptedMachine, posted: Posted
) -> None:
    machine.ticking.clear()
    kept = True
    while kept:  # until the tick that is held up has begun
        with sampling.sampler.held(0.0) as kept:
            pass


def job(machine: ScriptedMachine, posted: Posted, request: LinkRequest) -> LinkJob:
    job = LinkJob(machine.open_target(PID, None), request, None, Advisor(), machine, posted)
    job.start()
    return job


@pytest.mark.parametrize("kind", list(LinkKind))
def test_a_job_tells_its_progress_and_its_result(
    machine: ScriptedMachine, posted: Posted, tmp_path: Path, kind: LinkKind
) -> None:
    done = job(machine, posted, LinkRequest(kind, ChainOrder(tmp_path)))
    assert posted.next(LinkProgressed).progress.total_bytes
    made = posted.next(LinkMade)
    assert made.result.kind is kind
    assert done.join(SOON_S)


def test_a_dump_is_told_what_becomes_of_the_target(
    machine: ScriptedMachine, posted: Posted, tmp_path: Path
) -> None:
    job(machine, posted, LinkRequest(LinkKind.DUMP, ChainOrder(tmp_path), After.STOP))
    posted.next(LinkMade)
    assert machine.afters == [After.STOP]


def test_a_cancelled_job_ends(machine: ScriptedMachine, posted: Posted, tmp_path: Path) -> None:
    machine.linking.clear()
    running = job(machine, posted, LinkRequest(LinkKind.PRE_DUMP, ChainOrder(tmp_path)))
    posted.next(LinkProgressed)
    running.cancel()
    assert isinstance(posted.next(LinkNotMade).error, Cancelled)
    assert running.join(SOON_S)


def test_a_chain_that_cannot_be_begun_fails_the_job(
    machine: ScriptedMachine, posted: Posted, tmp_path: Path
) -> None:
    machine.chain_error = DirtytopError("no room")
    job(machine, posted, LinkRequest(LinkKind.PRE_DUMP, ChainOrder(tmp_path)))
    assert posted.next(LinkNotMade).error.message == "no room"


def test_a_target_is_let_go_only_once_its_job_has_ended(
    machine: ScriptedMachine, posted: Posted, tmp_path: Path
) -> None:
    watched = WatchList(machine, posted, None)
    target = watched.watch(PID, interval_s=0.001, arm=False)
    posted.next(Sampled)
    machine.linking.clear()
    watched.make_link(target, LinkRequest(LinkKind.PRE_DUMP, ChainOrder(tmp_path)))
    posted.next(LinkProgressed)
    watched.leave_all()
    assert isinstance(posted.next(LinkNotMade).error, Cancelled)
    assert watched.join(SOON_S)
    assert machine.opened[PID].is_closed


def test_a_target_that_is_watched_already_only_comes_into_view(
    machine: ScriptedMachine, posted: Posted
) -> None:
    watched = WatchList(machine, posted, None)
    first = watched.watch(PID, interval_s=1.0, arm=False)
    second = watched.watch(60, interval_s=1.0, arm=False)
    assert watched.current is second
    assert watched.watch(PID, interval_s=1.0, arm=False) is first
    assert watched.current is first
    assert watched.targets == [first, second]
    watched.leave_all()
    assert watched.join(SOON_S)


def test_a_pid_with_another_start_time_is_another_process(machine: ScriptedMachine, posted: Posted) -> None:
    watched = WatchList(machine, posted, None)
    watched.watch(PID, start_ticks=1, interval_s=1.0, arm=False)
    assert isinstance(posted.next(SamplingFailed).error, TargetGone)
    watched.leave_all()
    assert watched.join(SOON_S)


def test_processes_are_listed_until_it_is_stopped(machine: ScriptedMachine, posted: Posted) -> None:
    watcher = ProcessWatcher(machine, posted)
    watcher.start()
    assert posted.next(ProcessesListed).rows == machine.rows
    watcher.sleep()
    watcher.stop()
