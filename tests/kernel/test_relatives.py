"""Who may have pages of a process too is told at once; who has started a program is not among them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from engine.kernel import relatives as relatives_module
from engine.kernel.process import read_stat
from engine.kernel.relatives import Relatives, Sharers
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="of other users' processes too little is told")


@pytest.fixture
def relatives() -> Iterator[Relatives]:
    with closing(Relatives()) as made:
        yield made


def settled(relatives: Relatives, pid: int) -> Sharers:
    """What is told when nobody on this machine is just being born."""
    until_s = time.monotonic() + 5
    while (told := relatives.sharers(pid, is_stopped=False)) is Sharers.UNKNOWN:
        if time.monotonic() > until_s:
            break
    return told


def test_a_process_alone_shares_with_nobody(target: ScriptedTarget, relatives: Relatives) -> None:
    assert settled(relatives, target.pid) is Sharers.NONE


def test_a_child_is_known_as_soon_as_there_is_one(target: ScriptedTarget, relatives: Relatives) -> None:
    assert settled(relatives, target.pid) is Sharers.NONE
    child = target.fork()
    assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME
    assert relatives.sharers(child, is_stopped=False) is Sharers.SOME


def test_a_child_of_before_is_known(target: ScriptedTarget) -> None:
    child = target.fork()
    with closing(Relatives()) as relatives:
        assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME
        assert relatives.sharers(child, is_stopped=False) is Sharers.SOME


def test_a_child_that_has_exited_shares_nothing_any_more(
    target: ScriptedTarget, relatives: Relatives
) -> None:
    child = target.fork()
    assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME
    target.end_child(child)
    assert settled(relatives, target.pid) is Sharers.NONE


def test_one_of_two_children_is_enough(target: ScriptedTarget, relatives: Relatives) -> None:
    first, _ = target.fork(), target.fork()
    assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME
    target.end_child(first)
    assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME


def test_a_child_that_has_started_a_program_shares_nothing(relatives: Relatives) -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; exec sleep 60"], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        until_s = time.monotonic() + 60
        for pid in (child, parent.pid):
            while (stat := read_stat(pid)).command != "sleep" or not stat.has_program:
                assert time.monotonic() < until_s
        assert settled(relatives, parent.pid) is Sharers.NONE
        os.kill(child, 9)
        parent.kill()


def test_threads_are_no_relatives(target: ScriptedTarget, relatives: Relatives) -> None:
    assert settled(relatives, target.pid) is Sharers.NONE
    target.start_threads(3)
    assert settled(relatives, target.pid) is Sharers.NONE


def test_more_births_than_are_looked_at_one_by_one_hide_nobody(
    target: ScriptedTarget, relatives: Relatives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relatives_module, "_MOST_BORN", 0)
    assert settled(relatives, target.pid) is Sharers.NONE
    target.fork()
    assert relatives.sharers(target.pid, is_stopped=False) is Sharers.SOME


def test_where_the_kernel_tells_of_no_births_anybody_may_share(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relatives_module, "_LAST_PID", "/proc/sys/kernel/nothing_of_that_name")
    with closing(Relatives()) as relatives:
        assert relatives.sharers(target.pid, is_stopped=False) is Sharers.UNKNOWN


@pytest.fixture
def lone_copy() -> Iterator[int]:
    """A process that was forked by one that has exited."""
    script = (
        "import os, time\n"
        "copy = os.fork()\n"
        "if copy:\n"
        "    print(copy, flush=True)\n"
        "else:\n"
        "    os.close(1)\n"
        "    time.sleep(60)\n"
    )
    made = subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True, stdout=subprocess.PIPE)
    copy = int(made.stdout)
    yield copy
    os.kill(copy, 9)


def test_a_copy_may_have_relatives_that_we_may_not_look_at(
    target: ScriptedTarget, lone_copy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of our pid namespace, say. Who has started a program shares with none of them."""
    monkeypatch.setattr(relatives_module, "_HIDDEN", "nobody")
    monkeypatch.setattr(relatives_module, "_FIRST_PID_NAMESPACE", os.stat("/proc/self/ns/pid").st_ino)
    with closing(Relatives()) as relatives:
        assert settled(relatives, lone_copy) is Sharers.NONE
    monkeypatch.setattr(relatives_module, "_FIRST_PID_NAMESPACE", 0)
    with closing(Relatives()) as relatives:
        assert settled(relatives, lone_copy) is Sharers.UNKNOWN
        assert settled(relatives, target.pid) is Sharers.NONE
