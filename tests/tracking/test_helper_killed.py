"""SIGKILL of the helper at any moment of its work leaves the target as it was."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.errors import NotSupported
from engine.kernel.process import read_stat, read_status, thread_ids
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.uffd_source import UffdSource
from tests.targets.compiled import CompiledTarget
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(
    not probe().write_protect.works, reason="no write-protect tracking in this kernel"
)

_WORKS_FOR_S = 0.008


def wait_until_asleep(pid: int) -> None:
    while any(read_stat(pid, tid).state != "S" for tid in thread_ids(pid)):
        time.sleep(0.001)


def obtain_and_kill(pid: int, after_s: float) -> bool:
    """Whether the helper was killed before it was done, and another one was asked instead."""
    identity = read_stat(pid).identity
    source = UffdSource()
    os.close(source.obtain(identity)[0])
    helper = source._helper
    assert helper is not None
    kill = threading.Timer(after_s, lambda: os.kill(helper.pid, signal.SIGKILL))
    kill.start()
    os.close(source.obtain(identity)[0])
    kill.join()
    was_killed = source._helper is not helper
    source.close()
    return was_killed


def kill_helpers(times: int, seed: int) -> None:
    moments = random.Random(seed)
    killed = 0
    with CompiledTarget("waiting") as target:
        wait_until_asleep(target.pid)
        blocked = {tid: read_status(target.pid, tid)["SigBlk"] for tid in thread_ids(target.pid)}
        files = sorted(os.listdir(f"/proc/{target.pid}/fd"))
        for _ in range(times):
            killed += obtain_and_kill(target.pid, moments.uniform(0.0, _WORKS_FOR_S))
        wait_until_asleep(target.pid)
        assert sorted(os.listdir(f"/proc/{target.pid}/fd")) == files
        for tid, before in blocked.items():
            assert read_status(target.pid, tid)["SigBlk"] == before
        assert " 0 " in target.ask()
    assert killed


def test_a_killed_helper_leaves_the_target_as_it_was() -> None:
    kill_helpers(15, seed=1)


def test_a_helper_that_was_killed_over_nothing_is_missed_by_nobody() -> None:
    """The target starts another program then, which has to be tracked anew."""
    with ScriptedTarget() as target, Session(target.pid, TrackerKind.WRITE_PROTECT) as session:
        session.arm()
        assert session._source._helper is not None
        os.kill(session._source._helper.pid, signal.SIGKILL)
        target.exec_sleep()
        session.tick()
        with session.held() as processes:
            assert [process.is_tracked for process in processes] == [True]


def test_a_root_that_cannot_be_tracked_any_more_is_not_said_to_have_exited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotSupported("it is out of order")

    with ScriptedTarget() as target, Session(target.pid, TrackerKind.WRITE_PROTECT) as session:
        chain = MemoryChain(session, tmp_path / "chain")
        chain.pre_dump()
        target.exec_sleep()
        monkeypatch.setattr(UffdSource, "obtain", refuse)
        for make in (chain.dump, chain.pre_dump, session.arm):
            with pytest.raises(NotSupported, match="out of order"):
                make()
        assert not session.is_alive


@pytest.mark.soak
def test_a_thousand_killed_helpers_leave_the_target_as_it_was() -> None:
    kill_helpers(1000, seed=2)
