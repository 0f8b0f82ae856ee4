"""SIGKILL of the helper at any moment of its work leaves the target as it was."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest

from engine.errors import DirtytopError
from engine.kernel.process import read_stat, read_status, thread_ids
from engine.tracking.probe import probe
from engine.tracking.uffd_source import UffdSource
from tests.targets.compiled import CompiledTarget

pytestmark = pytest.mark.skipif(
    not probe().write_protect.works, reason="no write-protect tracking in this kernel"
)

_WORKS_FOR_S = 0.008


def wait_until_asleep(pid: int) -> None:
    while any(read_stat(pid, tid).state != "S" for tid in thread_ids(pid)):
        time.sleep(0.001)


def obtain_and_kill(pid: int, after_s: float) -> bool:
    """Whether the helper was killed before it was done."""
    identity = read_stat(pid).identity
    source = UffdSource()
    os.close(source.obtain(identity)[0])
    helper = source._helper
    assert helper is not None
    kill = threading.Timer(after_s, lambda: os.kill(helper.pid, signal.SIGKILL))
    kill.start()
    was_killed = True
    with suppress(DirtytopError):
        os.close(source.obtain(identity)[0])
        was_killed = False
    kill.join()
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


@pytest.mark.soak
def test_a_thousand_killed_helpers_leave_the_target_as_it_was() -> None:
    kill_helpers(1000, seed=2)
