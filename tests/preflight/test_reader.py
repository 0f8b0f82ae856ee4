"""What is read of real trees: relations to processes that are not in them."""

from __future__ import annotations

import math
import mmap
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from engine.errors import KernelThread, TargetGone
from engine.kernel.process import read_stat
from engine.preflight import outside
from engine.preflight.dumper import Dumper
from engine.preflight.finding import Finding
from engine.preflight.judge import examine
from engine.preflight.reader import read_tree
from engine.processes import ProcessLister


def told(pid: int, key: str) -> list[Finding]:
    return [finding for finding in examine(pid, Dumper()) if finding.key == key]


@pytest.fixture
def child() -> Iterator[int]:
    """A child of this process that shares memory with it, and leads no session."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    shared.close()


def test_memory_that_we_share_with_a_tree_is_told_with_our_pid(
    child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "_LONGEST_S", math.inf)  # on a busy machine we come late
    (finding,) = told(child, "shared-outside")
    assert f"process {os.getpid()} (" in finding.text


def test_who_is_of_the_session_and_no_descendant_is_left_behind() -> None:
    # The shell that starts the second of them ends, so that its child is somebody else's.
    command = "(sleep 1000 & echo $!); echo over; exec sleep 1000"
    with subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as leader:
        assert leader.stdout is not None
        orphan = int(leader.stdout.readline())
        assert leader.stdout.readline() == "over\n"
        while read_stat(orphan).command != "sleep":
            time.sleep(0.001)
        (finding,) = told(leader.pid, "left-behind")
        assert [(place.pid, place.command) for place in finding.places] == [(orphan, "sleep")]
        os.kill(orphan, signal.SIGKILL)
        leader.kill()


def test_a_tree_is_read_whole_parents_before_children() -> None:
    command = "sh -c 'sleep 1000 & sleep 1000 & echo there; wait' & wait"
    with subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as root:
        assert root.stdout is not None
        assert root.stdout.readline() == "there\n"
        tree = read_tree(root.pid, Dumper())
        pids = [process.pid for process in tree.processes]
        assert pids[0] == root.pid
        assert len(pids) == 4
        assert all(
            pids.index(process.stat.parent_pid) < at for at, process in enumerate(tree.processes) if at
        )
        os.killpg(root.pid, signal.SIGKILL)


def test_reading_leaves_no_descriptor_and_no_thread_behind(child: int) -> None:
    read_tree(child, Dumper((4, 1, 1)))
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        read_tree(child, Dumper((4, 1, 1)))
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_what_is_no_process_with_memory_is_refused_by_its_name() -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TargetGone, match="zombie"):
        read_tree(zombie.pid, Dumper())
    zombie.wait()
    with pytest.raises(TargetGone):
        read_tree(zombie.pid, Dumper())
    threads = [row.pid for row in ProcessLister().list() if row.untrackable == "kernel thread"]
    if threads:
        assert read_stat(threads[0]).is_kernel_thread
        with pytest.raises(KernelThread):
            read_tree(threads[0], Dumper())
