"""A process whose memory is read has it as before: shared pages stay shared, and holes stay holes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine.errors import TargetGone
from engine.kernel import exclusive_pages
from engine.kernel.exclusive_pages import find_exclusive
from engine.kernel.maps import read_maps
from engine.kernel.memory import PageBuffer, TargetMemory
from engine.kernel.pagemap import Category, Pagemap, scan_knows
from engine.kernel.relatives import Relatives
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from tests.targets.frames import StayingPages, are_told, frames, resident_kib
from tests.targets.scripted import ScriptedTarget

_PAGES = 2048
_MADV_MERGEABLE = 12
_KSM = Path("/sys/kernel/mm/ksm")

needs_frames = pytest.mark.skipif(not are_told(), reason="frame numbers need CAP_SYS_ADMIN")


@pytest.fixture(params=[False, True], ids=["running", "stopped"])
def is_stopped(request: pytest.FixtureRequest) -> bool:
    """What the reader is told; the target does nothing unless it is asked to."""
    return bool(request.param)


@contextmanager
def opened(pid: int, is_stopped: bool) -> Iterator[TargetMemory]:
    with ExitStack() as held:
        relatives = held.enter_context(closing(Relatives()))
        yield held.enter_context(closing(TargetMemory(pid, relatives, is_stopped=is_stopped)))


def span(base: int, pages: int) -> PageSet:
    return PageSet([base >> PAGE_SHIFT], [(base >> PAGE_SHIFT) + pages])


def read(memory: TargetMemory, pages: PageSet) -> dict[int, bytes]:
    """What was read of each page, by page number."""
    buffer = PageBuffer(max(pages.size_bytes, PAGE_SIZE))
    buffer.view[:] = b"\xee" * buffer.size_bytes
    got = memory.read(pages, buffer)
    assert got <= pages
    data = {
        page: bytes(buffer.view[at << PAGE_SHIFT : (at + 1) << PAGE_SHIFT])
        for at, page in enumerate(got.pages().tolist())
    }
    assert len(data) == got.count
    return data


def truth(pid: int, pages: PageSet) -> dict[int, bytes]:
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        return {
            page: os.pread(memory.fileno(), PAGE_SIZE, page << PAGE_SHIFT) for page in pages.pages().tolist()
        }


def fill_each(target: ScriptedTarget, base: int, pages: int) -> None:
    """Something else into each page."""
    for value in range(16):
        target.fill(range(value, pages, 16), base, value + 1)


# -- pages that others have too


@needs_frames
@pytest.mark.parametrize("whose", ["parent", "child"])
def test_pages_that_a_fork_shares_stay_shared(target: ScriptedTarget, is_stopped: bool, whose: str) -> None:
    base = target.map(_PAGES)
    fill_each(target, base, _PAGES)
    child = target.fork()
    pid = child if whose == "child" else target.pid
    staying = StayingPages(base, _PAGES, pid)
    with opened(pid, is_stopped) as memory:
        data = read(memory, span(base, _PAGES))
    staying.require_unmoved()
    assert data == truth(pid, span(base, _PAGES))


@needs_frames
@pytest.mark.parametrize("huge", [False, True], ids=["pages", "huge pages"])
@pytest.mark.parametrize("step", [2, 7, 16, 600])
def test_of_a_tree_that_shares_some_pages_none_moves(
    target: ScriptedTarget, is_stopped: bool, step: int, huge: bool
) -> None:
    base = target.map(_PAGES, huge=huge)
    fill_each(target, base, _PAGES)
    child = target.fork()
    target.fill(range(0, _PAGES, step), base, 99)
    staying = StayingPages(base, _PAGES, target.pid, child)
    for pid in (target.pid, child):
        with opened(pid, is_stopped) as memory:
            assert read(memory, span(base, _PAGES)) == truth(pid, span(base, _PAGES))
    staying.require_unmoved()


@needs_frames
def test_of_pages_wanted_here_and_there_none_moves(target: ScriptedTarget, is_stopped: bool) -> None:
    base = target.map(_PAGES)
    fill_each(target, base, _PAGES)
    target.fork()
    target.fill(range(1, _PAGES, 3), base, 99)
    staying = StayingPages(base, _PAGES, target.pid)
    for step in (2, 5, 100):
        wanted = target.pages(range(0, _PAGES, step), base)
        with opened(target.pid, is_stopped) as memory:
            assert read(memory, wanted) == truth(target.pid, wanted)
    staying.require_unmoved()


@needs_frames
def test_a_process_that_forks_between_two_reads_is_read_more_gently_from_then_on(
    target: ScriptedTarget,
) -> None:
    base = target.map(_PAGES)
    fill_each(target, base, _PAGES)
    with opened(target.pid, is_stopped=False) as memory:
        read(memory, span(base, 16))
        target.fork()
        staying = StayingPages(base, _PAGES, target.pid)
        read(memory, span(base, _PAGES))
    staying.require_unmoved()


@pytest.fixture
def merged(target: ScriptedTarget) -> Iterator[int]:
    """Where the target has pages that the kernel has merged."""
    try:
        run = (_KSM / "run").read_text()
        (_KSM / "run").write_text("1")
    except OSError as error:
        pytest.skip(f"samepage merging cannot be switched on here ({error.strerror})")
    settings = {name: (_KSM / name).read_text() for name in ("pages_to_scan", "sleep_millisecs")}
    try:
        (_KSM / "pages_to_scan").write_text("10000")
        (_KSM / "sleep_millisecs").write_text("1")
        base = target.map(_PAGES)
        target.fill(range(_PAGES), base, 7)
        target.advise(base, _PAGES, _MADV_MERGEABLE)
        until_s = time.monotonic() + 60
        while len(np.unique(frames(target.pid, base, _PAGES))) > _PAGES // 16:
            assert time.monotonic() < until_s, "the kernel merges nothing"
            time.sleep(0.01)
        yield base
    finally:
        for name, value in settings.items():
            (_KSM / name).write_text(value)
        (_KSM / "run").write_text(run)


@needs_frames
def test_pages_that_the_kernel_has_merged_stay_merged(
    target: ScriptedTarget, merged: int, is_stopped: bool
) -> None:
    (_KSM / "run").write_text("0")  # nobody is to merge them again behind our back
    staying = StayingPages(merged, _PAGES, target.pid)
    with opened(target.pid, is_stopped) as memory:
        data = read(memory, span(merged, _PAGES))
    assert set(data.values()) == {b"\x07" * PAGE_SIZE}
    staying.require_unmoved()


# -- pages that are not there


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "forked"])
def test_holes_are_left_out_and_stay_holes(target: ScriptedTarget, pagemap: Pagemap, forked: bool) -> None:
    base = target.map(_PAGES)
    numbers = [*range(3, 40), *range(500, 1500, 2), 2000]
    target.fill(numbers, base, 5)
    if forked:
        target.fork()
    with opened(target.pid, is_stopped=False) as memory:
        data = read(memory, span(base, _PAGES))
    there = pagemap.read(span(base, _PAGES).ranges()).pages()
    assert there == target.pages(numbers, base)
    assert data == dict.fromkeys(there.pages().tolist(), b"\x05" * PAGE_SIZE)


def test_holes_are_left_out_where_the_kernel_has_only_the_plain_pagemap(
    target: ScriptedTarget, pagemap: Pagemap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_pages, "scan_knows", lambda: False)
    test_holes_are_left_out_and_stay_holes(target, pagemap, forked=False)


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "forked"])
def test_shared_memory_gets_no_pages_for_being_read(target: ScriptedTarget, forked: bool) -> None:
    base = target.map(_PAGES, shared=True)
    target.fill(range(100), base, 5)
    if forked:
        target.fork()
    before = resident_kib(target, "RssShmem")
    with opened(target.pid, is_stopped=False) as memory:
        data = read(memory, span(base, _PAGES))
    assert resident_kib(target, "RssShmem") == before
    assert list(data.values()) == [b"\x05" * PAGE_SIZE] * 100


def test_a_page_that_a_stopped_process_has_no_longer_is_zeros(
    target: ScriptedTarget, is_stopped: bool
) -> None:
    """Given up with MADV_FREE, and taken by the kernel after we saw it."""
    base = target.map(_PAGES)
    target.fill(range(_PAGES), base, 5)
    target.fork()
    target.discard(base + 100 * PAGE_SIZE, 50)
    with opened(target.pid, is_stopped) as memory:
        data = read(memory, span(base, _PAGES))
    first = base >> PAGE_SHIFT
    gone = {page: data.pop(page, None) for page in range(first + 100, first + 150)}
    assert set(gone.values()) == {bytes(PAGE_SIZE) if is_stopped else None}
    assert set(data.values()) == {b"\x05" * PAGE_SIZE}
    assert len(data) == _PAGES - 50


def test_the_kernels_code_is_read_though_nobody_has_called_it(target: ScriptedTarget) -> None:
    vdso = read_maps(target.pid).vdso
    if not vdso:
        pytest.skip("this kernel maps no code of its own")
    with opened(target.pid, is_stopped=False) as memory:
        memory.always_there = vdso
        data = read(memory, vdso)
    assert len(data) == vdso.count
    assert data[int(vdso.starts[0])].startswith(b"\x7fELF")


# -- pages that are not readable, or no longer


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "forked"])
def test_pages_that_the_process_may_not_read_are_read(
    target: ScriptedTarget, is_stopped: bool, forked: bool
) -> None:
    base = target.map(_PAGES)
    fill_each(target, base, _PAGES)
    if forked:
        target.fork()
    expected = truth(target.pid, span(base, _PAGES))
    for at in range(10, _PAGES, 300):
        target.protect(base + at * PAGE_SIZE, 10, 0)
    with opened(target.pid, is_stopped) as memory:
        assert read(memory, span(base, _PAGES)) == expected


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "forked"])
def test_what_is_unmapped_is_left_out_and_the_rest_stands_together(
    target: ScriptedTarget, forked: bool
) -> None:
    base = target.map(_PAGES)
    fill_each(target, base, _PAGES)
    if forked:
        target.fork()
    wanted = span(base, _PAGES)
    expected = truth(target.pid, wanted)
    for at, pages in ((0, 3), (100, 1), (700, 400), (_PAGES - 1, 1)):
        target.unmap(base + at * PAGE_SIZE, pages)
        for page in range((base >> PAGE_SHIFT) + at, (base >> PAGE_SHIFT) + at + pages):
            del expected[page]
    with opened(target.pid, is_stopped=False) as memory:
        assert read(memory, wanted) == expected


def test_a_page_that_cannot_be_read_leaves_no_gap(
    target: ScriptedTarget, is_stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a page that is poisoned: nobody may make one here."""
    base = target.map(64)
    fill_each(target, base, 64)
    target.fork()
    unreadable = (base >> PAGE_SHIFT) + 20
    with opened(target.pid, is_stopped) as memory:
        honest = memory._read_piece

        def read_piece(view: memoryview, page: int) -> int:
            if page == unreadable:
                return 0
            end = page + (len(view) >> PAGE_SHIFT)
            readable = unreadable - page if page < unreadable < end else end - page
            return honest(view[: readable << PAGE_SHIFT], page)

        monkeypatch.setattr(memory, "_read_piece", read_piece)
        expected = truth(target.pid, span(base, 64))
        del expected[unreadable]
        assert read(memory, span(base, 64)) == expected


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "forked"])
def test_a_process_that_was_killed_is_gone(target: ScriptedTarget, is_stopped: bool, forked: bool) -> None:
    if forked:
        target.fork()
    with opened(target.pid, is_stopped) as memory:
        target.kill()
        with pytest.raises(TargetGone):
            read(memory, target.region)


def test_of_another_program_in_its_place_nothing_is_read(target: ScriptedTarget) -> None:
    with opened(target.pid, is_stopped=False) as memory:
        target.exec_sleep()
        assert read(memory, target.region) == {}


# -- what is told


def test_a_page_is_exclusive_until_somebody_else_has_it_and_again_afterwards(
    target: ScriptedTarget, pagemap: Pagemap
) -> None:
    assert find_exclusive(pagemap, target.region).exclusive == target.region
    child = target.fork()
    assert not find_exclusive(pagemap, target.region).exclusive
    target.end_child(child)
    # The kernel may take a moment to part with the memory of what has ended.
    give_up = time.monotonic() + 30
    while find_exclusive(pagemap, target.region).exclusive != target.region and time.monotonic() < give_up:
        time.sleep(0.01)
    assert find_exclusive(pagemap, target.region).exclusive == target.region


@pytest.mark.skipif(not scan_knows(), reason="this kernel has no PAGEMAP_SCAN")
def test_both_ways_to_find_what_is_there_tell_the_same(target: ScriptedTarget, pagemap: Pagemap) -> None:
    base = target.map(_PAGES)
    target.fill([*range(0, 200, 3), *range(1000, 1100)], base)
    target.read(range(300, 400), base)
    target.fork()
    wanted = span(base, _PAGES) - target.pages(range(30, 60, 2), base)
    scanned = pagemap.scan(int(wanted.starts[0]), int(wanted.ends[-1]), any_of=Category.PRESENT).pages()
    assert find_exclusive(pagemap, wanted).there == scanned & wanted
