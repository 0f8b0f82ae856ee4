"""What a thread is while something must not be put off."""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from engine.kernel.stopping import on_own_thread
from engine.kernel.urgency import urgent

REAL_TIME = os.SCHED_RR | os.SCHED_RESET_ON_FORK


def may_be_of_real_time() -> bool:
    def attempt() -> bool:
        try:
            os.sched_setscheduler(0, REAL_TIME, os.sched_param(1))
        except PermissionError:
            return False
        return True

    return on_own_thread(attempt)


def test_a_thread_runs_before_others_for_as_long_as_it_is_urgent() -> None:
    if not may_be_of_real_time():
        pytest.skip("no thread may be of real time here: it takes CAP_SYS_NICE")
    before = os.sched_getscheduler(0)
    with urgent():
        assert os.sched_getscheduler(0) == REAL_TIME
    assert os.sched_getscheduler(0) == before


def test_only_the_thread_itself_is_urgent() -> None:
    others: list[int] = []
    begun, ended = threading.Event(), threading.Event()

    def other() -> None:
        begun.wait()
        others.append(os.sched_getscheduler(0))
        ended.set()

    thread = threading.Thread(target=other)
    thread.start()
    with urgent():
        begun.set()
        ended.wait()
    thread.join()
    assert others == [os.sched_getscheduler(0)]


def test_where_it_may_not_be_urgent_it_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, policy: int, priority: os.sched_param) -> None:
        raise PermissionError

    before = os.sched_getscheduler(0)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with urgent():
        assert os.sched_getscheduler(0) == before


def test_garbage_is_collected_again_afterwards_even_after_an_error() -> None:
    def fail() -> None:
        with urgent():
            assert not gc.isenabled()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert gc.isenabled()


def test_other_threads_hold_the_interpreter_for_less_long_until_nobody_is_urgent_any_more() -> None:
    usual_s = sys.getswitchinterval()
    first, second = urgent(), urgent()
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() < usual_s
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() < usual_s
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual_s
