"""Chains whose pagemaps are read in many pieces are read as if they had been read at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.images import windows as windows_module
from engine.images.chain import ChainMemory, flatten, read_chain, verify
from engine.images.pagemap import LEAST_PIECE_BYTES, PagemapFile, PagemapImage, read_pagemap
from engine.images.windows import PagemapCursor, windows
from engine.pageset import PAGE_SIZE, PageSet
from tests.images.building import page_data, write_link

ENTRIES = 3000


@pytest.fixture(autouse=True)
def pieces_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "_AT_ONCE_BYTES", LEAST_PIECE_BYTES)


def test_a_part_knows_where_its_data_lies(tmp_path: Path) -> None:
    present = PageSet.from_pages(np.arange(ENTRIES) * 3)
    whole = PagemapImage.of(1, present, PageSet.from_pages(np.arange(ENTRIES) * 3 + 1))
    path = tmp_path / "pagemap-1.img"
    path.write_bytes(whole.encode())
    parts = list(PagemapFile(path, LEAST_PIECE_BYTES).pieces())
    assert len(parts) > 5
    offsets = [offset for part in parts for offset in part.file_offsets(part.present).tolist()]
    assert offsets == [at * PAGE_SIZE for at in range(ENTRIES)]
    joined = read_pagemap(path)
    for columns in ("starts", "ends", "flags"):
        assert np.array_equal(getattr(joined, columns), getattr(whole, columns))


RUNS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 900), st.sampled_from([1, 4, 6])), max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.lists(RUNS, min_size=1, max_size=4), st.integers(1, 4))
def test_stretches_are_disjoint_ascend_and_leave_out_nothing(
    tmp_path_factory: pytest.TempPathFactory, chains: list[list[tuple[int, int, int]]], repeated: int
) -> None:
    directory = tmp_path_factory.mktemp("pagemaps")
    whole = []
    for number, runs in enumerate(chains):
        gaps, lengths, flags = (
            np.array([run[at] for run in runs * 200 * repeated], np.int64) for at in range(3)
        )
        ends = np.cumsum(gaps + lengths) if len(runs) else np.zeros(0, np.int64)
        pagemap = PagemapImage(number, ends - lengths, ends, flags.astype(np.uint8))
        (directory / f"pagemap-{number}.img").write_bytes(pagemap.encode())
        whole.append(pagemap)
    cursors = [PagemapCursor(directory / f"pagemap-{number}.img") for number in range(len(chains))]
    before = 0
    found: list[list[PagemapImage]] = [[] for _ in chains]
    for parts in windows(cursors):
        covered = PageSet.union_all(part.covered for part in parts)
        if covered:
            assert int(covered.starts[0]) >= before
            before = int(covered.ends[-1])
        for part, taken in zip(parts, found, strict=True):
            taken.append(part)
    for pagemap, taken in zip(whole, found, strict=True):
        for pages in ("present", "in_parent", "lazy"):
            assert PageSet.union_all(getattr(part, pages) for part in taken) == getattr(pagemap, pages)
        for part in taken:
            expected = pagemap.file_offsets(part.present)
            assert part.file_offsets(part.present).tolist() == expected.tolist()


def test_there_are_about_as_many_stretches_as_the_longest_file_has_pieces(tmp_path: Path) -> None:
    links = 40
    for number in range(links):
        pages = PageSet.from_pages(np.arange(ENTRIES) * 3 + number)
        (tmp_path / f"pagemap-{number}.img").write_bytes(PagemapImage.of(1, pages).encode())
    paths = [tmp_path / f"pagemap-{number}.img" for number in range(links)]
    pieces = len(list(PagemapFile(paths[0], LEAST_PIECE_BYTES).pieces()))
    stretches = list(windows([PagemapCursor(path) for path in paths]))
    assert pieces > 5
    assert len(stretches) <= 2 * pieces


def test_no_more_is_read_ahead_than_memory_is_meant_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "_AT_ONCE_ENTRIES", 1500)
    dense, sparse = PageSet.from_pages(np.arange(10 * ENTRIES) * 2), PageSet.from_pages([10**9])
    for number, pages in enumerate((dense, sparse)):
        (tmp_path / f"pagemap-{number}.img").write_bytes(PagemapImage.of(1, pages).encode())
    cursors = [PagemapCursor(tmp_path / f"pagemap-{number}.img") for number in range(2)]
    most = 0
    for parts in windows(cursors):
        most = max(most, sum(len(part.starts) for part in parts))
    assert most < 3000


def test_a_chain_of_scattered_pages_is_read_and_joined_in_bounded_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = tmp_path / "chain"
    chain.mkdir()
    memory = {page: page for page in range(0, 2 * ENTRIES, 2)}
    write_link(chain / "1", {42: memory}, pieces=ENTRIES)
    for number in (2, 3):
        written = {page: page * 10 + number for page in range(2 * number, 2 * ENTRIES, 14)}
        held = memory.keys() - written.keys()
        memory |= written
        parent = chain / str(number - 1)
        write_link(chain / str(number), {42: written}, {42: held}, parent=parent, pieces=ENTRIES)
    most_parts = 0

    def counted(cursors: list[PagemapCursor]) -> list[list[PagemapImage]]:
        nonlocal most_parts
        found = list(windows(cursors))
        most_parts = max(most_parts, len(found))
        return found

    monkeypatch.setattr("engine.images.memory.windows", counted)
    assert verify(read_chain(chain)) == ()
    flatten(read_chain(chain), tmp_path / "flat")
    for read in (read_chain(chain), read_chain(tmp_path / "flat")):
        found = {}
        for pages, data in ChainMemory(read, 42).read():
            for at, page in enumerate(pages.pages().tolist()):
                found[page] = bytes(data[at * PAGE_SIZE : (at + 1) * PAGE_SIZE])
        assert found == {page: page_data(value) for page, value in memory.items()}
    assert most_parts > 5


def test_a_flattened_pagemap_has_no_more_entries_than_it_needs(tmp_path: Path) -> None:
    pages = range(5000)
    write_link(tmp_path / "1", {42: dict.fromkeys(pages, 1)}, pieces=5000)
    flatten(read_chain(tmp_path), tmp_path / "flat")
    assert len(read_pagemap(tmp_path / "flat" / "pagemap-42.img").starts) == 1
