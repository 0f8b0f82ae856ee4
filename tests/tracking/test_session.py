"""Sessions over real process trees."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from engine.errors import KernelThread, NotSupported, TargetGone
from engine.kernel.process import read_stat
from engine.pageset import PAGE_SHIFT, PAGE_SIZE
from engine.tracking import settling
from engine.tracking.sample import Event, EventKind, ProcessSample, RateMode, Sample, TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget
from tests.targets.speaking import ScriptTarget


@pytest.fixture
def session(kind: TrackerKind, target: ScriptedTarget) -> Iterator[Session]:
    with Session(target.pid, kind) as opened:
        opened.set_mode(RateMode.REARMING)
        yield opened


def region_row(sample: Sample, target: ScriptedTarget) -> tuple[ProcessSample, int]:
    """The sample of the target's own process, and which of its VMAs holds the region."""
    process = next(process for process in sample.processes if process.pid == target.pid)
    row = process.maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    return process, row


def kinds(sample: Sample) -> list[tuple[EventKind, int]]:
    return [(event.kind, event.pid) for event in sample.events]


def test_a_tick_counts_what_was_written_since_the_last(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    session.tick()
    target.fill(range(100))
    process, row = region_row(session.tick(), target)
    assert process.written_pages[row] == 100
    assert process.since_armed_pages[row] == 100
    assert process.last_write_s[row] == 0.0
    target.fill(range(50, 120))
    process, row = region_row(session.tick(), target)
    assert process.written_pages[row] == 70
    assert process.since_armed_pages[row] == 120
    process, row = region_row(session.tick(), target)
    assert process.written_pages[row] == 0
    assert process.last_write_s[row] > 0.0


def test_the_rate_is_over_the_measured_interval(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    session.tick()
    target.fill(range(100))
    sample = session.tick()
    assert sample.interval_s > 0
    assert sample.totals.pages_per_s == pytest.approx(sample.totals.written_pages / sample.interval_s)
    assert sample.bytes_per_s == pytest.approx(sample.totals.pages_per_s * PAGE_SIZE)
    assert sample.totals.written_pages == sum(int(p.written_pages.sum()) for p in sample.processes)


def test_before_arming_only_presence_is_known(session: Session, target: ScriptedTarget) -> None:
    sample = session.tick()
    process, row = region_row(sample, target)
    assert process.present_pages[row] == 512
    assert process.pending_pages[row] == 512
    assert sample.totals.written_pages == 0
    assert not session.is_armed


def test_arming_again_begins_counts_anew(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    target.fill(range(9))
    session.tick()
    session.arm()
    sample = session.tick()
    process, row = region_row(sample, target)
    assert process.since_armed_pages[row] == 0
    assert (EventKind.REARMED, target.pid) in kinds(sample)


def test_cumulative_mode_shows_a_page_once(target: ScriptedTarget, kind: TrackerKind) -> None:
    if kind is not TrackerKind.SOFT_DIRTY:
        pytest.skip("only soft-dirty has a cumulative mode")
    with Session(target.pid, kind) as session:
        assert session.mode is RateMode.CUMULATIVE
        session.arm()
        for expected in (10, 0):
            target.fill(range(10))
            process, row = region_row(session.tick(), target)
            assert process.written_pages[row] == expected
            assert process.since_armed_pages[row] == 10


def test_a_mode_that_the_tracker_lacks_is_refused(session: Session) -> None:
    if session.tracker is TrackerKind.SOFT_DIRTY:
        pytest.skip("soft-dirty has both modes")
    with pytest.raises(NotSupported, match="no cumulative mode"):
        session.set_mode(RateMode.CUMULATIVE)


def test_presence_follows_pages_that_come_and_go(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    session.tick()
    base = target.map(300)
    target.fill(range(300), base)
    process, _ = region_row(session.tick(), target)
    row = process.maps.index_at(base >> PAGE_SHIFT)
    assert row is not None
    assert process.present_pages[row] >= 300
    # Some kernels join the two mappings into one VMA.
    process, row = region_row(session.tick(), target)
    present, pending = int(process.present_pages[row]), int(process.pending_pages[row])
    target.discard(target.base, 512)
    process, row = region_row(session.tick(), target)
    assert process.present_pages[row] == present - 512
    assert process.pending_pages[row] == pending - 512


def test_children_join_when_they_fork_and_leave_when_they_exit(
    session: Session, target: ScriptedTarget
) -> None:
    session.arm()
    session.tick()
    child = target.fork()
    sample = session.tick()
    assert (EventKind.JOINED, child) in kinds(sample)
    assert [process.pid for process in sample.processes] == [target.pid, child]
    joined = sample.processes[1]
    row = joined.maps.index_at(target.base >> PAGE_SHIFT)
    assert row is not None
    assert joined.present_pages[row] == 512
    assert joined.written_pages[row] == 0, "a child's inherited pages are not writes of its own"
    target.end_child(child)
    sample = session.tick()
    assert (EventKind.LEFT, child) in kinds(sample)
    assert [process.pid for process in sample.processes] == [target.pid]


def test_a_program_that_starts_another_is_armed_anew(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    command = session.tick().processes[0].command
    target.exec_sleep()
    sample = session.tick()
    (event,) = (event for event in sample.events if event.kind is EventKind.EXECED)
    assert event.pid == target.pid
    assert event.text == f"{command} started another program: sleep"
    assert sample.processes[0].command == "sleep"
    deadline = time.monotonic() + 10
    while session.tick().totals.written_pages:  # it is still starting
        assert time.monotonic() < deadline


def test_a_program_that_names_itself_anew_is_shown_by_that_name(kind: TrackerKind) -> None:
    names_itself = """
print("ready", flush=True)
input()
open("/proc/self/comm", "w").write("phase two")
print("renamed", flush=True)
input()
"""
    # Until it says that it is ready the kernel may still be loading it.
    with ScriptTarget(names_itself) as renamed, Session(renamed.pid, kind) as session:
        session.arm()
        assert renamed.ask() == "renamed"
        sample = session.tick()
        assert sample.processes[0].command == "phase two"
        assert not [event for event in sample.events if event.kind is EventKind.EXECED]


def test_one_that_starts_program_after_program_is_never_lost(
    kind: TrackerKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An emulated CPU may take longer to attach than a program lasts, until the last one.
    monkeypatch.setattr(settling, "_CALM_WITHIN_S", 120.0)
    script = tmp_path / "again"
    script.write_text(
        "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done\n"
        '[ "$1" -gt 0 ] && exec sh "$0" $(($1 - 1))\nexec sleep 1000\n'
    )
    events: list[Event] = []
    command = ""
    restless = subprocess.Popen(["sh", str(script), "12"])
    try:
        with Session(restless.pid, kind) as session:
            session.arm()
            while command != "sleep":
                sample = session.tick()
                events += sample.events
                command = sample.processes[0].command
    finally:
        restless.kill()
        restless.wait()
    assert {event.kind for event in events} <= {EventKind.EXECED, EventKind.SEAMS}


def test_the_end_of_the_tree_is_an_event(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    session.tick()
    target.kill()
    sample = session.tick()
    assert (EventKind.LEFT, target.pid) in kinds(sample)
    assert sample.processes == ()
    assert not session.is_alive
    assert session.tick().processes == ()
    with pytest.raises(TargetGone):
        session.arm()


def test_a_zombie_has_exited(session: Session, target: ScriptedTarget) -> None:
    session.arm()
    os.kill(target.pid, signal.SIGKILL)
    while not read_stat(target.pid).is_dead:
        time.sleep(0.001)
    assert session.tick().processes == ()


def test_a_stopped_target_is_tracked_and_stays_stopped(session: Session, target: ScriptedTarget) -> None:
    os.kill(target.pid, signal.SIGSTOP)
    while read_stat(target.pid).state != "T":
        time.sleep(0.001)
    session.arm()
    session.tick()
    while read_stat(target.pid).state == "R":
        time.sleep(0.001)
    assert read_stat(target.pid).state == "T"
    os.kill(target.pid, signal.SIGCONT)
    target.fill([5])
    process, row = region_row(session.tick(), target)
    assert process.written_pages[row] == 1


def test_closing_may_be_repeated_and_leaves_the_target_alone(
    session: Session, target: ScriptedTarget
) -> None:
    session.arm()
    session.close()
    session.close()
    target.fill([1])


class TestRefusals:
    """What cannot be a target is refused before anything is touched."""

    def test_a_pid_that_names_nothing(self) -> None:
        child = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(child, 0)
        with pytest.raises(TargetGone, match=str(child)):
            Session(child)

    def test_a_zombie(self) -> None:
        with subprocess.Popen(["/bin/true"]) as zombie:
            while read_stat(zombie.pid).state != "Z":
                time.sleep(0.001)
            with pytest.raises(TargetGone, match="zombie"):
                Session(zombie.pid)

    def test_ourselves(self) -> None:
        with pytest.raises(NotSupported, match="dirtytop itself"):
            Session(os.getpid())

    def test_a_kernel_thread(self) -> None:
        threads = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        kernel = [pid for pid in threads if _is_kernel_thread(pid)]
        if not kernel:
            pytest.skip("no kernel thread is visible here")
        with pytest.raises(KernelThread, match="no memory of its own"):
            Session(kernel[0])


def _is_kernel_thread(pid: int) -> bool:
    try:
        return read_stat(pid).is_kernel_thread
    except TargetGone:
        return False


def test_it_says_once_what_write_protection_means_for_mappings(session: Session) -> None:
    session.arm()
    (first, second) = session.tick(), session.tick()
    session.arm()
    told = [event.kind for sample in (first, second, session.tick()) for event in sample.events]
    assert told.count(EventKind.SEAMS) == (session.tracker is TrackerKind.WRITE_PROTECT)


# -- who holds it


def test_a_tick_of_another_thread_waits_until_the_session_is_let_go(session: Session) -> None:
    with ThreadPoolExecutor(1) as other:
        with session.held() as processes:
            ticked = other.submit(session.tick)
            first = next(iter(processes))
            assert not wait([ticked], timeout=0.1).done
            session.tick()  # of the holder's own does not
            assert [first] == list(processes)
        assert ticked.result().number == 1


def test_processes_are_out_of_reach_once_the_session_is_let_go(session: Session) -> None:
    with session.held() as processes:
        assert len(processes) == session.process_count == 1
        going_through = iter(processes)
    for use in (lambda: len(processes), lambda: list(processes), lambda: list(going_through)):
        with pytest.raises(RuntimeError, match="does not hold"):
            use()


def test_processes_are_out_of_reach_of_a_thread_that_does_not_hold_the_session(session: Session) -> None:
    with (
        ThreadPoolExecutor(1) as other,
        session.held() as processes,
        pytest.raises(RuntimeError, match="does not hold"),
    ):
        other.submit(list, processes).result()
