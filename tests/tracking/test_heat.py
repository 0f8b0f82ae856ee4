"""Columns of the heat map: what they count, when their layout stays, and what becomes of older ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.maps import Maps, parse_line
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.heat import NO_LAYOUT, STRETCHES, Found, HeatColumn, HeatGrid, HeatLayout
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

BASE = 0x7F0000000


def maps_of(*bounds: tuple[int, int], perms: str = "rw-p") -> Maps:
    """One anonymous mapping for each pair of page numbers."""
    lines = [f"{first << 12:x}-{end << 12:x} {perms} 00000000 00:00 0 " for first, end in bounds]
    return Maps.of(tuple(parse_line(line.encode()) for line in lines))


def found(maps: Maps, written: PageSet = EMPTY, present: PageSet | None = None, pid: int = 1) -> Found:
    return Found(pid, maps, maps.pages if present is None else present, written)


def tick(grid: HeatGrid, *processes: Found) -> HeatColumn:
    return grid.tick(1.0, 1.0, processes)


def test_without_memory_there_is_an_empty_column() -> None:
    column = tick(HeatGrid())
    assert len(column.layout) == 0
    assert len(column.pages) == 0


def test_pages_are_counted_in_the_stretch_they_lie_in() -> None:
    maps = maps_of((BASE, BASE + 100), (BASE + 5000, BASE + 5100))
    written = PageSet.from_pages([BASE + 3, BASE + 4, BASE + 5050])
    column = tick(HeatGrid(), found(maps, written))
    counted = {
        int(start): int(pages)
        for start, pages in zip(column.layout.starts, column.pages, strict=True)
        if pages
    }
    assert counted == {BASE + 3: 1, BASE + 4: 1, BASE + 5050: 1}


def test_a_large_mapping_becomes_stretches_of_equally_many_pages_in_use() -> None:
    maps = maps_of((BASE, BASE + 1_000_000))
    # All that is used are its first pages and, far away, its last.
    present = PageSet([BASE, BASE + 950_000], [BASE + 50_000, BASE + 1_000_000])
    layout = tick(HeatGrid(), found(maps, present=present)).layout
    assert len(layout) == pytest.approx(STRETCHES, abs=2)
    assert layout.pages.max() - layout.pages.min() <= 1
    assert layout.pages.sum() == 100_000
    assert layout.starts[0] == BASE
    assert layout.ends[-1] == BASE + 1_000_000


def test_what_cannot_be_written_takes_no_room() -> None:
    code = maps_of((BASE, BASE + 1000), perms="r-xp").vmas
    maps = Maps.of(code + maps_of((BASE + 2000, BASE + 2010)).vmas)
    assert tick(HeatGrid(), found(maps)).layout.pages.sum() == 10


def test_sixty_five_thousand_mappings_become_a_few_hundred_stretches() -> None:
    maps = maps_of(*((BASE + 2 * at, BASE + 2 * at + 1) for at in range(65_000)))
    written = PageSet.from_pages(maps.starts[::7])
    column = tick(HeatGrid(), found(maps, written))
    assert STRETCHES / 2 < len(column.layout) < 2 * STRETCHES
    assert column.pages.sum() == written.count
    assert column.layout.pages.sum() == 65_000


def test_a_small_mapping_among_large_ones_keeps_a_stretch_of_its_own() -> None:
    stack = (BASE + 900_000, BASE + 900_004)
    maps = maps_of((BASE, BASE + 400_000), stack, (BASE + 950_000, BASE + 1_300_000))
    layout = tick(HeatGrid(), found(maps)).layout
    at = layout.find(1, BASE + 900_002)
    assert at is not None
    assert (layout.starts[at], layout.ends[at]) == stack


def test_the_layout_stays_while_a_mapping_grows_a_little_and_every_write_is_counted() -> None:
    grid = HeatGrid()
    before = tick(grid, found(maps_of((BASE, BASE + 10_000), (BASE + 20_000, BASE + 21_000))))
    grown = maps_of((BASE, BASE + 10_010), (BASE + 20_000, BASE + 21_000))
    after = tick(grid, found(grown, PageSet([BASE + 9_990], [BASE + 10_010])))
    assert after.layout is before.layout
    assert after.pages.sum() == 20


def test_a_mapping_that_outgrows_its_stretch_is_laid_out_anew() -> None:
    grid = HeatGrid()
    before = tick(grid, found(maps_of((BASE, BASE + 10_000))))
    after = tick(grid, found(maps_of((BASE, BASE + 10_000), (BASE + 50_000, BASE + 60_000))))
    assert after.layout is not before.layout
    assert after.layout.pages.sum() == 20_000


def test_memory_that_has_halved_is_laid_out_anew() -> None:
    grid = HeatGrid()
    before = tick(grid, found(maps_of((BASE, BASE + 10_000))))
    after = tick(grid, found(maps_of((BASE, BASE + 4_000))))
    assert after.layout is not before.layout


def test_each_process_of_a_tree_has_stretches_of_its_own() -> None:
    maps = maps_of((BASE, BASE + 300))
    column = tick(
        HeatGrid(),
        found(maps, PageSet.from_pages([BASE + 1])),
        found(maps, PageSet.from_pages([BASE + 1, BASE + 2]), pid=2),
    )
    layout = column.layout
    assert [column.pages[layout.of_process(pid)].sum() for pid in (1, 2, 3)] == [1, 2, 0]
    assert layout.find(3, BASE) is None


def test_columns_of_an_earlier_layout_keep_their_counts_where_bounds_are_the_same() -> None:
    grid = HeatGrid()
    small = maps_of((BASE, BASE + 40), (BASE + 100, BASE + 140))
    before = tick(grid, found(small, PageSet([BASE + 100], [BASE + 110])))
    after = tick(grid, found(maps_of((BASE, BASE + 40), (BASE + 100, BASE + 140), (BASE + 500, BASE + 700))))
    assert after.layout is not before.layout
    moved = after.layout.moved(before.layout, before.pages[np.newaxis])[0]
    part = slice(after.layout.find(1, BASE + 100), after.layout.find(1, BASE + 109))
    assert moved.sum() == 10
    assert moved[part].tolist() == [1.0] * 9


def test_what_was_counted_in_memory_that_is_gone_is_gone() -> None:
    before = HeatLayout(*np.array([[1, 1], [10, 20], [15, 25], [5, 5]]))
    after = HeatLayout(*np.array([[1], [10], [15], [5]]))
    assert after.moved(before, np.array([[3, 4]], np.uint32)).tolist() == [[3.0]]
    assert NO_LAYOUT.moved(before, np.array([[3, 4]], np.uint32)).shape == (1, 0)


pages_of_mappings = st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 50)), min_size=1, max_size=80)


@given(pages_of_mappings, st.data())
def test_stretches_are_disjoint_ascending_and_hold_all_that_is_in_use(
    lengths_and_gaps: list[tuple[int, int]], data: st.DataObject
) -> None:
    bounds = []
    at = BASE
    for length, gap in lengths_and_gaps:
        bounds.append((at, at + length))
        at += length + gap
    maps = maps_of(*bounds)
    pages = maps.pages.pages()
    chosen = data.draw(st.lists(st.integers(0, len(pages) - 1), max_size=50))
    written = PageSet.from_pages(pages[chosen])
    column = tick(HeatGrid(), found(maps, written))
    layout = column.layout
    assert (layout.starts < layout.ends).all()
    assert (layout.ends[:-1] <= layout.starts[1:]).all()
    assert layout.pages.sum() == maps.pages.count
    assert column.pages.tolist() == written.count_within(layout.starts, layout.ends).tolist()
    assert layout.moved(layout, column.pages[np.newaxis])[0].tolist() == column.pages.tolist()


def test_a_tick_of_a_real_process_says_where_it_wrote(kind: TrackerKind, target: ScriptedTarget) -> None:
    with Session(target.pid, kind) as session:
        session.set_mode(RateMode.REARMING)
        session.arm()
        session.tick()
        target.fill(range(100))
        sample = session.tick()
    heat = sample.heat
    assert heat.pages.sum() == sample.totals.written_pages
    base = target.base >> PAGE_SHIFT
    first, last = heat.layout.find(target.pid, base), heat.layout.find(target.pid, base + 99)
    assert first is not None
    assert last is not None
    assert heat.pages[first : last + 1].sum() >= 100
