"""Both trackers, on every kernel that has them: what was written is reported, and nothing else."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from engine.errors import NotSupported
from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.process import identify
from engine.pageset import PAGE_SHIFT, PageSet
from engine.tracking.sample import TrackerKind
from engine.tracking.tracker import Tracker
from engine.tracking.uffd_source import UffdSource
from engine.tracking.write_protect import WriteProtectTracker
from tests.targets.scripted import ScriptedTarget


def written(tracker: Tracker) -> PageSet:
    return tracker.begin_epoch().written


def test_only_the_written_pages_are_reported(tracker: Tracker, target: ScriptedTarget) -> None:
    target.fill([3, 4, 500])
    assert written(tracker) & target.region == target.pages([3, 4, 500])


def test_rearming_begins_an_epoch(tracker: Tracker, target: ScriptedTarget) -> None:
    target.fill([3])
    written(tracker)
    target.fill([7])
    assert written(tracker) & target.region == target.pages([7])
    assert not written(tracker) & target.region


def test_without_rearming_everything_since_shows_again(tracker: Tracker, target: ScriptedTarget) -> None:
    target.fill([3])
    assert tracker.look().written & target.region == target.pages([3])
    target.fill([7])
    assert tracker.look().written & target.region == target.pages([3, 7])


def test_reading_a_page_is_not_writing_it(tracker: Tracker, target: ScriptedTarget) -> None:
    target.read(range(512))
    assert not written(tracker) & target.region


def test_a_page_only_read_for_the_first_time_is_not_written(tracker: Tracker, target: ScriptedTarget) -> None:
    base = target.map(8)
    target.read(range(8), base)
    target.fill([2], base)
    assert written(tracker) & target.pages(range(8), base) == target.pages([2], base)


def test_a_new_mapping_is_written_in_full_once(tracker: Tracker, target: ScriptedTarget) -> None:
    base = target.map(32)
    target.fill([0, 5, 31], base)
    region = target.pages(range(32), base)
    assert written(tracker) & region == target.pages([0, 5, 31], base)
    target.fill([5], base)
    assert written(tracker) & region == target.pages([5], base)


def test_a_mapping_that_takes_the_place_of_another_is_noticed(
    tracker: Tracker, target: ScriptedTarget
) -> None:
    base = target.map(16)
    target.fill(range(16), base)
    written(tracker)
    target.unmap(base, 16)
    again = target.map(16)
    target.fill([1], again)
    assert target.pages([1], again) <= written(tracker)


def test_moved_memory_is_written(tracker: Tracker, target: ScriptedTarget) -> None:
    base = target.map(16)
    target.fill(range(16), base)
    written(tracker)
    target.map(1)
    moved = target.remap(base, 16, 64)
    # Whether in place or elsewhere: what stands at a new address must be saved there.
    reported = written(tracker) & target.pages(range(64), moved)
    assert moved == base or reported == target.pages(range(16), moved)
    target.fill([40], moved)
    assert written(tracker) & target.pages(range(64), moved) == target.pages([40], moved)


def test_discarded_and_rewritten_pages_are_written(tracker: Tracker, target: ScriptedTarget) -> None:
    target.discard(target.base, 10)
    target.fill([4])
    assert written(tracker) & target.region == target.pages([4])


def test_protection_changes_do_not_lose_writes(tracker: Tracker, target: ScriptedTarget) -> None:
    target.fill([8])
    target.protect(target.base, 16, mmap.PROT_READ)
    target.protect(target.base, 16, mmap.PROT_READ | mmap.PROT_WRITE)
    target.fill([9])
    assert target.pages([8, 9]) <= written(tracker)


def test_a_write_by_another_process_is_seen(tracker: Tracker, target: ScriptedTarget) -> None:
    with Path(f"/proc/{target.pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(target.base + 42 * mmap.PAGESIZE)
        memory.write(b"x")
    assert written(tracker) & target.region == target.pages([42])


def test_shared_memory_is_tracked_in_this_process(tracker: Tracker, target: ScriptedTarget) -> None:
    base = target.map(16, shared=True)
    target.fill(range(16), base)
    written(tracker)
    target.fill([6], base)
    assert written(tracker) & target.pages(range(16), base) == target.pages([6], base)


def test_closing_leaves_no_trace(tracker: Tracker, target: ScriptedTarget, pagemap: Pagemap) -> None:
    tracker.close()
    maps = read_maps(target.pid)
    try:
        left = pagemap.scan(*maps.user_span, all_of=Category.WP_ALLOWED).pages()
    except OSError:
        pytest.skip("without PAGEMAP_SCAN nothing could be left")
    assert not left
    target.fill([1])


class TestSparseMemory:
    """A huge mapping with little in it must stay that way: the trap that fills memory with page tables."""

    @staticmethod
    def page_tables_kib(pid: int) -> int:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmPTE:"):
                return int(line.split()[1])
        raise AssertionError("no VmPTE")

    def test_a_tebibyte_of_holes_costs_no_page_tables(
        self, kind: TrackerKind, target: ScriptedTarget, source: UffdSource
    ) -> None:
        if kind is TrackerKind.SOFT_DIRTY:
            pytest.skip("soft-dirty protects only what is there")
        pages = (1 << 40) >> PAGE_SHIFT
        base = target.map(pages, reserve=False)
        touched = range(0, pages, pages // 50)
        target.fill(touched, base)
        before = self.page_tables_kib(target.pid)
        tracker = WriteProtectTracker(identify(target.pid), source)
        tracker.arm()
        for _ in range(3):
            target.fill(touched[3:9], base)
            region = PageSet.from_ranges([(base >> PAGE_SHIFT, (base >> PAGE_SHIFT) + pages)])
            assert tracker.begin_epoch().written & region == target.pages(touched[3:9], base)
        assert self.page_tables_kib(target.pid) - before < 16 << 10
        tracker.close()


class TestWriteProtect:
    """What only this tracker does."""

    @pytest.fixture
    def kind(self, request: pytest.FixtureRequest) -> TrackerKind:
        from engine.tracking.probe import probe

        support = probe().write_protect
        if not support.works:
            pytest.skip(support.reason)
        return TrackerKind.WRITE_PROTECT

    def test_a_second_tracker_of_the_same_process_is_refused(
        self, tracker: Tracker, target: ScriptedTarget, source: UffdSource
    ) -> None:
        with pytest.raises(NotSupported, match="already tracked"):
            WriteProtectTracker(identify(target.pid), source)
        target.fill([5])
        assert written(tracker) & target.region == target.pages([5])

    def test_huge_pages_are_told_apart_page_by_page(self, tracker: Tracker) -> None:
        with ScriptedTarget(pages=2048, huge=True) as huge:
            source = UffdSource()
            other = WriteProtectTracker(identify(huge.pid), source)
            other.arm()
            huge.fill([700, 701])
            assert other.begin_epoch().written & huge.region == huge.pages([700, 701])
            other.close()
            source.close()

    def test_what_cannot_be_tracked_is_named(self, tracker: Tracker, target: ScriptedTarget) -> None:
        reasons = {item.reason for item in tracker.begin_epoch().untracked}
        assert reasons <= {"a read-only shared file mapping", "the kernel cannot watch this kind of mapping"}

    def test_the_target_keeps_no_descriptor(self, tracker: Tracker, target: ScriptedTarget) -> None:
        links = [path.readlink() for path in Path(f"/proc/{target.pid}/fd").iterdir()]
        assert not [link for link in links if "userfaultfd" in str(link)]
