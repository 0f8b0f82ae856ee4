"""What a link holds of each mapping: every page it lists is counted once, in the mapping it lies in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadImage
from engine.images.areas import GONE, Area, link_areas
from engine.images.link import read_link
from engine.images.pagemap import PagemapImage
from engine.kernel.maps import Maps, parse_line
from engine.pageset import PageSet
from tests.images.building import write_link

HEAP = b"00010000-00020000 rw-p 00000000 00:00 0 [heap]"
LIBRARY = b"00040000-00042000 r-xp 00000000 fe:01 9 /usr/lib/libc.so.6"
MAPS = Maps.of((parse_line(HEAP), parse_line(LIBRARY)))


def test_pages_are_told_by_mapping_saved_here_or_left_to_the_parent(tmp_path: Path) -> None:
    first = write_link(tmp_path / "1", {42: {0x10: 1, 0x11: 1, 0x12: 1, 0x40: 1}})
    second = write_link(tmp_path / "2", {42: {0x11: 2}}, {42: {0x10, 0x12, 0x40}}, parent=first)
    heap, library = link_areas(read_link(second), {42: MAPS})
    assert (heap.name, heap.perms, heap.written_pages, heap.in_parent_pages) == ("[heap]", "rw-p", 1, 2)
    assert (library.name, library.written_pages, library.in_parent_pages) == ("/usr/lib/libc.so.6", 0, 1)


def test_memory_that_is_mapped_no_more_is_one_area_for_each_gap(tmp_path: Path) -> None:
    link = write_link(tmp_path / "1", {42: dict.fromkeys((0x2, 0x5, 0x11, 0x30, 0x90), 1)})
    areas = link_areas(read_link(link), {42: MAPS})
    assert areas == (
        Area(42, 0x2000, 0x6000, "", GONE, 2, 0),
        Area(42, 0x10000, 0x20000, "rw-p", "[heap]", 1, 0),
        Area(42, 0x30000, 0x31000, "", GONE, 1, 0),
        Area(42, 0x90000, 0x91000, "", GONE, 1, 0),
    )


def test_a_process_of_which_nothing_is_known_is_one_area(tmp_path: Path) -> None:
    link = write_link(tmp_path / "1", {7: {0x2: 1, 0x50: 1}, 42: {0x10: 1}})
    assert [(area.pid, area.written_pages) for area in link_areas(read_link(link), {42: MAPS})] == [
        (7, 2),
        (42, 1),
    ]


def test_a_link_that_has_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    link = read_link(write_link(tmp_path / "1", {42: {0x10: 1}}))
    (tmp_path / "1" / "pagemap-42.img").unlink()
    with pytest.raises(BadImage, match="pagemap-42"):
        link_areas(link, {42: MAPS})


def test_a_list_that_is_read_in_pieces_makes_no_more_areas(tmp_path: Path) -> None:
    link = write_link(tmp_path / "1", {42: {0x10: 1}})
    pages = PageSet.from_pages(np.arange(100_000) * 2)
    (link / "pagemap-42.img").write_bytes(PagemapImage.of(1, pages).encode())
    before, heap, between, library, after = link_areas(read_link(link), {42: MAPS})
    assert [area.name for area in (heap, library)] == ["[heap]", "/usr/lib/libc.so.6"]
    assert (before.start, between.end) == (0, 0x3F000)
    assert (after.start, after.end) == (0x42000, (2 * 99_999 + 1) << 12)
    total = sum(area.written_pages for area in (before, heap, between, library, after))
    assert total == 100_000


@settings(deadline=None)
@given(pages=st.sets(st.integers(0, 0x60), max_size=40), held=st.sets(st.integers(0, 0x60), max_size=40))
def test_every_page_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, pages: set[int], held: set[int]
) -> None:
    place = tmp_path_factory.mktemp("chain")
    parent = write_link(place / "1", {42: dict.fromkeys(held, 1)})
    link = write_link(place / "2", {42: dict.fromkeys(pages, 2)}, {42: held - pages}, parent=parent)
    areas = link_areas(read_link(link), {42: MAPS})
    assert sum(area.written_pages for area in areas) == len(pages)
    assert sum(area.in_parent_pages for area in areas) == len(held - pages)
