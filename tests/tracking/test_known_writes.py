"""Known writes while the memory changes its shape: each tracker, by each of its readings."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.smaps import read_smaps
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from engine.tracking.sample import EventKind, RateMode, TrackerKind
from engine.tracking.session import Session
from engine.tracking.tracker import Tracker
from tests.targets.scripted import ScriptedTarget
from tests.tracking.late_clear import map_apart, sweep_with_late_clears

_MADV_PAGEOUT = 21
_HUGE = pages_per_huge_page()


def written(tracker: Tracker) -> PageSet:
    return tracker.begin_epoch().written


def write_through_mem(pid: int, address: int) -> None:
    """A write to a process that obeys nobody; it is a write like any other."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(b"w")


def swapped(pid: int, pages: PageSet) -> PageSet:
    with Pagemap(pid) as pagemap:
        return pagemap.read(pages.ranges()).pages(with_all=Category.SWAPPED)


class TestMappings:
    """Mappings that come, join and move."""

    def test_a_mapping_over_another_is_written_where_it_is(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        target.map_at(target.base + 100 * PAGE_SIZE, 50)
        target.fill([103, 149])
        assert target.pages([103, 149]) <= written(tracker)
        target.fill([104])
        assert written(tracker) & target.region == target.pages([104])

    def test_mappings_that_join_lose_no_write(self, tracker: Tracker, target: ScriptedTarget) -> None:
        base = target.map(64)
        target.fill(range(64), base)
        target.unmap(base + 32 * PAGE_SIZE, 32)
        written(tracker)
        target.fill([3], base)
        target.map_at(base + 32 * PAGE_SIZE, 32)
        target.fill([40, 63], base)
        # The kernel joins nothing to what a userfaultfd watches.
        maps = read_maps(target.pid)
        joined = maps.index_at(base >> PAGE_SHIFT) == maps.index_at((base >> PAGE_SHIFT) + 63)
        assert joined != tracker.abilities.keeps_mappings_apart
        # The whole of what was joined may read as dirty, once.
        assert target.pages([3, 40, 63], base) <= written(tracker)
        target.fill([4, 41], base)
        assert written(tracker) & target.pages(range(64), base) == target.pages([4, 41], base)

    def test_mappings_joined_by_a_change_of_protection_lose_no_write(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        base = target.map(64)
        target.fill(range(64), base)
        target.unmap(base + 32 * PAGE_SIZE, 32)
        target.protect(base, 32, mmap.PROT_READ)
        written(tracker)
        target.map_at(base + 32 * PAGE_SIZE, 32)
        target.fill([32, 50], base)
        target.protect(base, 32, mmap.PROT_READ | mmap.PROT_WRITE)
        target.fill([5, 51], base)
        assert target.pages([5, 32, 50, 51], base) <= written(tracker)

    def test_what_was_moved_is_written_where_it_is_now(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        base, to = target.map(16), target.map(16)
        target.fill([0, 1, 2, 9], base)
        written(tracker)
        target.move(base, 16, to)
        reported = written(tracker)
        assert reported & target.pages(range(16), to) == target.pages([0, 1, 2, 9], to)
        assert reported.isdisjoint(target.pages(range(16), base))
        target.fill([2, 3], to)
        assert written(tracker) & target.pages(range(16), to) == target.pages([2, 3], to)

    def test_what_was_discarded_is_not_written_until_it_is(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        target.fill([1, 2, 3])
        target.discard(target.base, 512)
        assert not written(tracker) & target.region
        target.read(range(512))
        assert not written(tracker) & target.region
        target.fill([2])
        assert written(tracker) & target.region == target.pages([2])


class TestFork:
    """Copy on write: the copy is a write of the one who made it, and of nobody else."""

    def test_a_write_of_the_parent_is_the_parents_alone(
        self, tracker: Tracker, track: Callable[[int], Tracker], target: ScriptedTarget
    ) -> None:
        child = target.fork()
        childs = track(child)
        written(tracker)
        target.fill([7, 8])
        assert written(tracker) & target.region == target.pages([7, 8])
        assert not written(childs) & target.region

    def test_a_write_of_the_child_is_the_childs_alone(
        self, tracker: Tracker, track: Callable[[int], Tracker], target: ScriptedTarget
    ) -> None:
        child = target.fork()
        childs = track(child)
        written(tracker)
        write_through_mem(child, target.base + 11 * PAGE_SIZE)
        assert written(childs) & target.region == target.pages([11])
        assert not written(tracker) & target.region

    def test_what_the_parent_wrote_before_the_fork_still_shows(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        target.fill([20])
        target.fork()
        target.fill([21])
        assert written(tracker) & target.region == target.pages([20, 21])


@pytest.mark.usefixtures("swap")
class TestSwap:
    """What is known of a page goes to swap with it, and comes back."""

    def test_a_page_that_was_written_and_swapped_out_is_written(
        self, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        target.fill([5, 6])
        target.advise(target.base, 512, _MADV_PAGEOUT)
        assert target.pages([5, 6]) <= swapped(target.pid, target.region)
        assert written(tracker) & target.region == target.pages([5, 6])

    def test_going_out_and_coming_back_is_no_write(self, tracker: Tracker, target: ScriptedTarget) -> None:
        target.advise(target.base, 512, _MADV_PAGEOUT)
        assert swapped(target.pid, target.region)
        target.read(range(512))
        assert not swapped(target.pid, target.region)
        assert not written(tracker) & target.region

    def test_a_write_to_a_page_in_swap_is_seen(self, tracker: Tracker, target: ScriptedTarget) -> None:
        target.advise(target.base, 512, _MADV_PAGEOUT)
        written(tracker)
        assert target.pages([77]) <= swapped(target.pid, target.region)
        target.fill([77])
        assert written(tracker) & target.region == target.pages([77])

    def test_arming_reaches_pages_in_swap(self, tracker: Tracker, target: ScriptedTarget) -> None:
        target.fill(range(512))
        target.advise(target.base, 512, _MADV_PAGEOUT)
        tracker.arm()
        target.read(range(512))
        assert not written(tracker) & target.region


class TestHugePages:
    """Soft-dirty has one bit for a huge page, and says so; write-protect splits what is written."""

    @pytest.fixture
    def huge(self) -> Iterator[ScriptedTarget]:
        """A target whose region holds at least two huge pages."""
        with ScriptedTarget(pages=4 * _HUGE, huge=True) as target:
            (entry,) = (entry for entry in read_smaps(target.pid) if entry.start <= target.base < entry.end)
            if entry.huge_bytes < 2 * _HUGE * PAGE_SIZE:
                pytest.skip("the kernel gives no transparent huge pages")
            yield target

    @staticmethod
    def middle(target: ScriptedTarget) -> int:
        """A page of the region that lies in a huge page, by its number."""
        first = target.base >> PAGE_SHIFT
        return -(-first // _HUGE) * _HUGE + 2 * _HUGE - 100 - first

    def test_one_write_shows_as_a_huge_page_or_as_itself(
        self, kind: TrackerKind, track: Callable[[int], Tracker], huge: ScriptedTarget
    ) -> None:
        tracker = track(huge.pid)
        page = self.middle(huge)
        huge.fill([page])
        collected = tracker.begin_epoch()
        seen = collected.written & huge.region
        if kind is TrackerKind.WRITE_PROTECT:
            assert seen == huge.pages([page])
            assert not collected.huge & huge.region
        else:
            assert huge.pages([page]) <= seen
            assert seen.count == _HUGE
            assert collected.huge & huge.region == seen

    @pytest.mark.parametrize("mode", list(RateMode), ids=lambda mode: mode.name.lower())
    def test_the_inflation_is_told(self, kind: TrackerKind, huge: ScriptedTarget, mode: RateMode) -> None:
        if kind is TrackerKind.WRITE_PROTECT:
            pytest.skip("write-protect tells the pages of a huge page apart")
        with Session(huge.pid, kind) as session:
            session.set_mode(mode)
            session.arm()
            assert session.tick().huge_inflation_pages == 0
            told = []
            for expected in (_HUGE - 1, _HUGE - 1 if mode is RateMode.REARMING else 0):
                huge.fill([self.middle(huge)])
                sample = session.tick()
                told += [event.text for event in sample.events if event.kind is EventKind.HUGE_PAGES]
                assert sample.huge_inflation_pages == expected
                assert sample.processes[0].huge_inflation_pages == expected
                assert sample.most_pages_per_write == (_HUGE if expected else 1)
            assert len(told) == 1
            assert f"up to {_HUGE} pages counted for one write" in told[0]

    def test_small_pages_are_never_called_inflated(self, kind: TrackerKind, target: ScriptedTarget) -> None:
        with Session(target.pid, kind) as session:
            session.arm()
            base = target.map(3 * _HUGE)
            target.fill(range(3 * _HUGE), base)
            sample = session.tick()
            assert sample.totals.written_pages >= 3 * _HUGE
            assert (sample.huge_inflation_pages, sample.most_pages_per_write) == (0, 1)
            assert not [event for event in sample.events if event.kind is EventKind.HUGE_PAGES]


@pytest.mark.usefixtures("hugetlb")
class TestHugetlb:
    """Soft-dirty bits do not cover hugetlbfs: what is private there counts as written always."""

    def test_a_write_is_never_missed(
        self, kind: TrackerKind, tracker: Tracker, target: ScriptedTarget
    ) -> None:
        base = target.map_hugetlb(2 * _HUGE)
        target.fill([0, _HUGE], base)
        region = target.pages(range(2 * _HUGE), base)
        assert written(tracker) & region == region
        target.fill([3], base)
        collected = tracker.begin_epoch()
        assert target.pages([3], base) <= collected.written
        if kind is TrackerKind.SOFT_DIRTY:
            assert [item.start for item in collected.untracked] == [base]


class TestConstantWrites:
    """Whoever writes all the time is never between a look and a clear."""

    SWEPT = 24_000

    def test_a_page_written_once_is_in_one_of_many_epochs(
        self, tracker: Tracker, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = map_apart(target, self.SWEPT)
        written(tracker)
        sweep_with_late_clears(monkeypatch, target, base, self.SWEPT)
        seen, epochs = [], 0
        while target.swept() < self.SWEPT:
            seen.append(written(tracker))
            epochs += 1
        seen.append(written(tracker))
        region = PageSet.from_ranges([(base >> PAGE_SHIFT, (base >> PAGE_SHIFT) + self.SWEPT)])
        assert epochs > 1
        assert not region - PageSet.union_all(seen)
