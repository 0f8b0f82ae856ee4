"""Arming changes nothing that a target can see: one test for each way in which it once did."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest

from engine.kernel.pidfd import is_same_open_file
from engine.kernel.process import read_stat, read_status
from engine.pageset import PAGE_SHIFT, PageSet
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.uffd_source import UffdSource
from engine.tracking.write_protect import WriteProtectTracker
from tests.targets.compiled import CompiledTarget
from tests.targets.scripted import ScriptedTarget

needs_write_protect = pytest.mark.skipif(
    not probe().write_protect.works, reason="no write-protect tracking in this kernel"
)


def arm(pid: int, kind: TrackerKind) -> None:
    with Session(pid, kind) as session:
        session.arm()
        session.tick()


def signals(pid: int) -> dict[str, str]:
    names = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
    return {name: value for name, value in read_status(pid).items() if name in names}


def open_files(pid: int) -> dict[str, str]:
    return {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


@pytest.mark.parametrize("how", ["handled", "blocked", "pending", "ignored"])
def test_its_signals_and_descriptors_stay_as_they_are(how: str, kind: TrackerKind) -> None:
    with CompiledTarget("trapping", how) as target:
        before = signals(target.pid)
        files = open_files(target.pid)
        arm(target.pid, kind)
        assert signals(target.pid) == before
        assert open_files(target.pid) == files
        assert target.ask() == "0"


@needs_write_protect
def test_memory_that_grows_meanwhile_goes_on_growing() -> None:
    source = UffdSource()
    with CompiledTarget("growing") as target:
        for _ in range(50):
            tracker = WriteProtectTracker(read_stat(target.pid).identity, source)
            tracker.arm()
            tracker.close()
            assert target.process.poll() is None
    source.close()


def test_a_childs_own_userfaultfd_stays_its_own(target: ScriptedTarget, kind: TrackerKind) -> None:
    """It has the number that ours has in the parent for a moment, and the same name."""
    child = target.fork_with_userfaultfd()
    before = open_files(child)
    assert "anon_inode:[userfaultfd]" in before.values()
    with Session(target.pid, kind) as session:
        session.arm()
        session.tick()
        assert open_files(child) == before


def test_two_copies_of_an_open_file_are_told_from_two_files_of_one_name() -> None:
    here = os.getpid()
    first, second = os.pipe(), os.pipe()
    copy = os.dup(first[0])
    try:
        assert is_same_open_file(here, first[0], here, copy)
        assert not is_same_open_file(here, first[0], here, second[0])
    finally:
        for descriptor in (*first, *second, copy):
            os.close(descriptor)


def test_a_program_whose_main_thread_has_ended_is_tracked(kind: TrackerKind) -> None:
    with CompiledTarget("headless") as target, Session(target.pid, kind) as session:
        session.arm()
        session.tick()
        assert target.ask() == "written"
        first = int(target.said, 16) >> PAGE_SHIFT
        (process,) = session.tick().processes
        counted = process.maps.count(PageSet.from_pages([first, first + 5]))
        assert (process.written_pages[counted > 0] >= 2).all()


@needs_write_protect
def test_a_helper_that_was_stopped_is_woken(target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.tracking.uffd_source._ANSWER_TIMEOUT_S", 0.2)
    other = ScriptedTarget()
    with other, Session(target.pid, TrackerKind.WRITE_PROTECT) as session:
        session.arm()
        helper = session._source._helper
        assert helper is not None
        os.kill(helper.pid, signal.SIGSTOP)
        while read_stat(helper.pid).state != "T":
            time.sleep(0.001)
        descriptor, _ = session._source.obtain(read_stat(other.pid).identity)
        os.close(descriptor)


@needs_write_protect
def test_a_helper_that_was_killed_between_two_requests_is_replaced(target: ScriptedTarget) -> None:
    identity = read_stat(target.pid).identity
    with closing(UffdSource()) as source:
        os.close(source.obtain(identity)[0])
        assert source._helper is not None
        source._helper.kill()
        source._helper.wait()
        os.close(source.obtain(identity)[0])
