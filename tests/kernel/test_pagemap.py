"""The two ways to read a pagemap must tell the same, and the truth."""

from __future__ import annotations

import mmap

import pytest

from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Category, Pagemap, find_zero_frame
from engine.pageset import PAGE_SHIFT, PageSet
from engine.tracking.probe import probe
from tests.targets.scripted import ScriptedTarget

needs_scan = pytest.mark.skipif(not probe().pagemap_scan.works, reason=probe().pagemap_scan.reason)


@needs_scan
def test_scan_and_plain_file_agree_on_every_page(target: ScriptedTarget, pagemap: Pagemap) -> None:
    if not find_zero_frame():
        pytest.skip("frame numbers, and so the zero page in the plain file, need CAP_SYS_ADMIN")
    base = target.map(64)
    target.read(range(0, 64, 3), base)
    target.fill(range(1, 64, 3), base)
    maps = read_maps(target.pid)
    scanned = pagemap.scan(*maps.user_span, none_of=Category.ZERO, returned=Category.FILE)
    ranges = (maps.pages.clip(*maps.user_span)).ranges()
    plain = pagemap.read(ranges, find_zero_frame())
    assert scanned.pages() == plain.pages(without=Category.ZERO)
    assert scanned.pages(with_all=Category.FILE) == plain.pages(with_all=Category.FILE, without=Category.ZERO)


def test_pages_only_read_are_the_zero_page(target: ScriptedTarget, pagemap: Pagemap) -> None:
    if not find_zero_frame():
        pytest.skip("frame numbers need CAP_SYS_ADMIN")
    base = target.map(16)
    target.read(range(16), base)
    target.fill([5], base)
    region = target.pages(range(16), base)
    regions = pagemap.read(region.ranges(), find_zero_frame())
    assert regions.pages(with_all=Category.ZERO) == region - target.pages([5], base)
    assert regions.pages(without=Category.ZERO) == target.pages([5], base)


@needs_scan
def test_more_regions_than_one_answer_holds(target: ScriptedTarget, pagemap: Pagemap) -> None:
    count = 70_000
    base = target.map(2 * count)
    target.fill(range(0, 2 * count, 2), base)
    first = base >> PAGE_SHIFT
    found = pagemap.scan(first, first + 2 * count).pages()
    assert found == PageSet.from_pages(range(first, first + 2 * count, 2))


@needs_scan
def test_protecting_holes_is_refused_before_the_kernel_is_asked(pagemap: Pagemap) -> None:
    with pytest.raises(ValueError, match="fill every hole"):
        pagemap.scan(0, 10, all_of=Category.WRITTEN, any_of=Category(0), write_protect=True)


def test_reading_beyond_user_memory_finds_nothing(pagemap: Pagemap) -> None:
    assert not pagemap.read([(1 << 51, (1 << 51) + 10)]).pages()


def test_memory_without_permission_is_still_told(target: ScriptedTarget, pagemap: Pagemap) -> None:
    target.protect(target.base, 512, mmap.PROT_READ)
    assert pagemap.read(target.region.ranges()).pages() == target.region
