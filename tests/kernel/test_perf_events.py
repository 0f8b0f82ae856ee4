"""Minor faults as the kernel tells them, of real threads."""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from engine.errors import NotPermitted, TargetGone
from engine.kernel.perf_events import FaultEvents, Faults, parse
from engine.pageset import PAGE_SHIFT, PAGE_SIZE
from tests.targets.scripted import ScriptedTarget

PAGES = 500


@pytest.fixture
def events() -> Iterator[FaultEvents]:
    opened = FaultEvents(ring_bytes=1 << 20)
    yield opened
    opened.close()


def add(events: FaultEvents, tid: int) -> None:
    try:
        events.add(tid)
    except NotPermitted as error:
        pytest.skip(error.message)


def pages_of(faults: Faults) -> list[int]:
    return sorted((faults.addresses >> np.uint64(PAGE_SHIFT)).tolist())


def test_each_first_touch_is_one_fault_and_names_its_page(
    events: FaultEvents, target: ScriptedTarget
) -> None:
    base = target.map(PAGES)
    first = base >> PAGE_SHIFT
    add(events, target.pid)
    target.touch(base, PAGES)
    faults = events.read()
    ours = [page for page in pages_of(faults) if first <= page < first + PAGES]
    assert ours == list(range(first, first + PAGES))
    assert faults.lost == 0
    assert set(faults.pids.tolist()) == {target.pid}
    assert abs(int(faults.times_ns[-1]) - time.monotonic_ns()) < 60e9
    assert (faults.chains[:, 0] > 0).all()


def test_threads_that_start_later_are_watched_with_whoever_starts_them(events: FaultEvents) -> None:
    add(events, threading.get_native_id())
    started: list[int] = []

    def touch() -> None:
        started.append(threading.get_native_id())
        with mmap.mmap(-1, PAGES * PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            memory[::PAGE_SIZE] = bytes(PAGES)

    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
    faults = events.read()
    assert np.count_nonzero(faults.tids == started[0]) >= PAGES


def test_one_of_several_faults_stands_for_the_others(events: FaultEvents, target: ScriptedTarget) -> None:
    base = target.map(PAGES)
    add(events, target.pid)
    events.set_period(10)
    target.touch(base, PAGES // 2)
    events.read()
    target.touch(base + PAGES // 2 * PAGE_SIZE, PAGES // 2)
    faults = events.read()
    assert len(set(pages_of(faults))) == PAGES // 2 // 10


def test_what_does_not_fit_is_counted(target: ScriptedTarget) -> None:
    events = FaultEvents(ring_bytes=PAGE_SIZE)
    try:
        base = target.map(PAGES)
        add(events, target.pid)
        target.touch(base, PAGES)
        kept = events.read()
        more = target.map(PAGES)
        target.touch(more, 1)
        assert events.read().lost + kept.lost + len(kept) >= PAGES
        assert len(kept) < PAGES
    finally:
        events.close()


def test_who_may_not_lock_so_much_gets_a_smaller_ring(
    events: FaultEvents, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 1 << 17
    locked = mmap.mmap

    def lock(descriptor: int, size: int, *rest: int) -> mmap.mmap:
        if size > PAGE_SIZE + most:
            raise PermissionError
        return locked(descriptor, size, *rest)

    monkeypatch.setattr("engine.kernel.perf_events.mmap.mmap", lock)
    add(events, target.pid)
    base = target.map(PAGES)
    target.touch(base, PAGES)
    assert len(events.read()) >= PAGES


def test_a_thread_that_has_ended_is_gone(events: FaultEvents) -> None:
    add(events, threading.get_native_id())
    with open("/proc/sys/kernel/pid_max") as file:
        never = int(file.read())
    with pytest.raises(TargetGone):
        events.add(never - 1)


def record(kind: int, words: list[int], misc: int = 2) -> list[int]:
    size = (len(words) + 1) * 8
    return [kind | misc << 32 | size << 48, *words]


def sample(page: int, *chain: int) -> list[int]:
    return record(9, [0x1000, 7 | 8 << 32, 123, page << PAGE_SHIFT, len(chain), *chain])


USER = (1 << 64) - 512


def test_records_of_any_length_and_kind_are_told_apart() -> None:
    words = [
        *sample(5, USER, 0x400, 0x500),
        *record(2, [0, 17], misc=0),
        *sample(6, USER, 0x600),
        *record(5, [1, 2, 3], misc=0),  # of a kind that is not asked for
        *sample(7),
    ]
    faults = parse(np.array(words, np.uint64), depth=3)
    assert pages_of(faults) == [5, 6, 7]
    assert faults.lost == 17
    assert faults.chains.tolist() == [[0x400, 0x500, 0], [0x600, 0, 0], [0x1000, 0, 0]]


def test_an_address_that_looks_like_a_record_is_none() -> None:
    looks = 9 | 2 << 32 | 64 << 48
    faults = parse(np.array([*sample(5, USER, looks, 0x500), *sample(6, USER, 0x600)], np.uint64), depth=3)
    assert pages_of(faults) == [5, 6]


def test_nothing_is_nothing() -> None:
    assert len(parse(np.empty(0, np.uint64), depth=3)) == 0
