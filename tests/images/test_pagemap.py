"""Pagemaps against protobuf and against sets."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadImage, UnknownFormat
from engine.images.framing import Magic, pack
from engine.images.pagemap import PE_LAZY, PE_PARENT, PE_PRESENT, PagemapImage, read_pagemap
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet

NAME = "pagemap-1.img"
HEAD = PagemapHead(pages_id=1)

PAGES = st.one_of(st.integers(0, 40), st.integers(0, 2**34), st.integers(2**34, 2**44 - 2**32 - 1))
SETS = st.lists(st.tuples(PAGES, st.one_of(st.integers(1, 5), st.integers(1, 2**32 - 1))), max_size=20).map(
    lambda pairs: PageSet.from_ranges((first, first + length) for first, length in pairs)
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "in_parent": st.booleans(),
        "flags": st.sampled_from([0, PE_PARENT, PE_PRESENT, PE_PRESENT | PE_LAZY]),
        "nr_pages": st.integers(1, 9),
    },
)


def decode(data: bytes, name: str = NAME) -> PagemapImage:
    """What a file of these bytes is read as. Errors name it without its directory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        path = Path(directory) / name
        path.write_bytes(data)
        try:
            return read_pagemap(path)
        except BadImage as error:
            raise type(error)(error.message.replace(f"{directory}{os.sep}", "")) from error


def as_protobuf_would(pagemap: PagemapImage) -> bytes:
    rows = zip(pagemap.starts.tolist(), pagemap.ends.tolist(), pagemap.flags.tolist(), strict=True)
    entries = [
        PagemapEntry(
            vaddr=start << PAGE_SHIFT, compat_nr_pages=end - start, flags=flags, nr_pages=end - start
        )
        for start, end, flags in rows
    ]
    return pack(Magic.PAGEMAP, [PagemapHead(pages_id=pagemap.pages_id), *entries])


def image(*entries: PagemapEntry) -> bytes:
    return pack(Magic.PAGEMAP, [HEAD, *entries])


def entry(page: int, count: int = 1, **fields: int) -> PagemapEntry:
    return PagemapEntry(vaddr=page << PAGE_SHIFT, compat_nr_pages=count, **fields)  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), SETS, SETS, SETS)
def test_it_is_written_as_protobuf_would_and_read_as_it_was(
    pages_id: int, present: PageSet, holes: PageSet, lazy: PageSet
) -> None:
    holes = holes - present
    written = PagemapImage.of(pages_id, present, holes, lazy)
    data = written.encode()
    assert data == as_protobuf_would(written)
    found = decode(data)
    assert found.pages_id == pages_id
    assert found.present == present
    assert found.in_parent == holes
    assert found.lazy == present & lazy
    assert found.covered == present | holes
    for columns in ("starts", "ends", "flags"):
        assert np.array_equal(getattr(found, columns), getattr(written, columns))


@given(SETS, SETS)
def test_entries_ascend_and_are_as_few_as_can_be(present: PageSet, holes: PageSet) -> None:
    pagemap = PagemapImage.of(1, present, holes - present)
    lengths = pagemap.ends - pagemap.starts
    assert (lengths > 0).all()
    assert (lengths < 2**32).all()
    assert (pagemap.starts[1:] >= pagemap.ends[:-1]).all()
    touching = (pagemap.starts[1:] == pagemap.ends[:-1]) & (pagemap.flags[1:] == pagemap.flags[:-1])
    assert (lengths[:-1][touching] == 2**32 - 1).all()


@given(st.lists(FIELDS, max_size=12))
def test_what_older_versions_wrote_is_read_as_criu_reads_it(rows: list[dict[str, int]]) -> None:
    entries = []
    present: set[int] = set()
    holes: set[int] = set()
    for at, fields in enumerate(rows):
        if fields.get("in_parent") and (fields.get("flags", 0) & PE_PRESENT):
            fields["in_parent"] = False
        entries.append(entry(16 * at, 0 if "nr_pages" in fields else 3, **fields))
        pages = range(16 * at, 16 * at + fields.get("nr_pages", 3))
        is_hole = fields.get("in_parent") or fields.get("flags", 0) & PE_PARENT
        (holes if is_hole else present).update(pages)
    pagemap = decode(image(*entries))
    assert pagemap.present == PageSet.from_pages(sorted(present))
    assert pagemap.in_parent == PageSet.from_pages(sorted(holes))


def test_fields_in_another_order_or_twice_are_read_too() -> None:
    start = b"\x08\x80\x80\x04"  # vaddr 0x10000
    reordered = b"\x28\x03\x20\x04\x10\x03" + start
    repeated = b"\x08\x01" * 20 + start + b"\x10\x03\x20\x01\x20\x04"
    long_way = b"\x08\x80\x80\x84\x00\x10\x83\x80\x80\x80\x80\x80\x80\x80\x80\x00\x20\x04"
    for payload in (reordered, repeated, long_way):
        data = image() + struct.pack("<I", len(payload)) + payload
        assert decode(data).present == PageSet.from_pages([16, 17, 18]), payload


@pytest.mark.parametrize(
    "more",
    [b"\x30\x01", b"\x32\x02hi", b"\x3a\x80\x80\x80\x01" + bytes(2**21), b"\x82\x01\x02hi"],
    ids=["a number", "a message", "many sizes", "a field far up"],
)
def test_an_entry_that_says_more_than_we_understand_is_not_called_damaged(more: bytes) -> None:
    payload = entry(16, 3, flags=PE_PRESENT).SerializeToString() + more
    data = image(entry(1)) + struct.pack("<I", len(payload)) + payload
    with pytest.raises(UnknownFormat, match=r"^pagemap-1\.img: at byte \d+: .*newer CRIU \(compressed pages"):
        decode(data)


def test_flags_that_we_do_not_know_are_not_called_damage() -> None:
    with pytest.raises(UnknownFormat, match="flags 0xc, of which we know 0x7"):
        decode(image(entry(1), entry(2, flags=PE_PRESENT | 8)))


def test_a_head_that_says_more_than_we_understand_is_not_called_damaged() -> None:
    payload = HEAD.SerializeToString() + b"\x10\x01"
    data = pack(Magic.PAGEMAP, []) + struct.pack("<I", len(payload)) + payload
    with pytest.raises(UnknownFormat, match=r"fields that are not known here \(2\)"):
        decode(data)


@pytest.mark.parametrize("payload", [b"\x0a\x01\x00\x10\x01", b"\x08\x00\x10\x01\x22\x01\x04"])
def test_a_field_that_we_know_of_another_type_is_damage(payload: bytes) -> None:
    with pytest.raises(BadImage, match="not a PagemapEntry") as caught:
        decode(image() + struct.pack("<I", len(payload)) + payload)
    assert not isinstance(caught.value, UnknownFormat)


def test_an_entry_of_thousands_of_bytes_that_is_none_is_damage() -> None:
    payload = bytes(2**21)
    with pytest.raises(BadImage, match="an entry of 2097152 bytes, where some 20 would do") as caught:
        decode(image() + struct.pack("<I", len(payload)) + payload)
    assert not isinstance(caught.value, UnknownFormat)


@given(st.binary(max_size=40), st.binary(max_size=6))
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(first: bytes, second: bytes) -> None:
    payloads = [PagemapEntry(vaddr=0, compat_nr_pages=1).SerializeToString(), first, second]
    data = image() + b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    try:
        pagemap = decode(data)
    except BadImage:
        return
    entries = [PagemapEntry.FromString(payload) for payload in payloads]
    lengths = [found.nr_pages or found.compat_nr_pages for found in entries]
    assert (pagemap.starts << PAGE_SHIFT).tolist() == [found.vaddr for found in entries]
    assert (pagemap.ends - pagemap.starts).tolist() == lengths


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([entry(5), entry(4)], "not in ascending order"),
        ([entry(5, 3), entry(7)], "not in ascending order"),
        ([entry(1), entry(5, 0)], "an entry of no pages"),
        ([entry(1), entry(5, nr_pages=2**64 - 1)], "beyond the end of the address space"),
        ([entry(1), PagemapEntry(vaddr=0x5001, compat_nr_pages=1)], "no multiple of the page size"),
        ([entry(1), entry(5, flags=PE_PARENT | PE_PRESENT)], "both present and left to the parent"),
        ([entry(1), entry(5, 2, nr_pages=3)], "an entry of two lengths"),
        ([entry(1), entry(5, 2, nr_pages=0)], "an entry of no pages"),
        ([entry(1), entry(2**44)], "beyond the end of the address space"),
    ],
)
def test_a_pagemap_that_cannot_be_is_refused_at_the_entry_that_is_wrong(
    entries: list[PagemapEntry], why: str
) -> None:
    at = len(image(entries[0])) + 4
    with pytest.raises(BadImage, match=rf"^pagemap-1\.img: at byte {at}: .*{why}"):
        decode(image(*entries))


def test_an_entry_without_an_address_is_refused() -> None:
    with pytest.raises(BadImage, match="not a PagemapEntry"):
        decode(image() + struct.pack("<I", 2) + b"\x10\x01")


def test_a_file_without_even_a_head_is_refused() -> None:
    with pytest.raises(BadImage, match="at byte 8"):
        decode(pack(Magic.PAGEMAP, []))


def test_a_run_too_long_for_the_older_field_is_split() -> None:
    pagemap = PagemapImage.of(1, PageSet.from_ranges([(1, 2 + 2 * (2**32 - 1))]))
    assert (pagemap.ends - pagemap.starts).tolist() == [2**32 - 1, 2**32 - 1, 1]
    assert pagemap.encode() == as_protobuf_would(pagemap)


def test_the_data_of_each_range_lies_after_all_present_pages_below_it() -> None:
    present = PageSet.from_ranges([(10, 14), (20, 22), (30, 31)])
    pagemap = PagemapImage.of(1, present, holes=PageSet.from_ranges([(14, 20), (25, 30)]))
    wanted = PageSet.from_ranges([(11, 13), (21, 22), (30, 31)])
    assert pagemap.file_offsets(wanted).tolist() == [1 * PAGE_SIZE, 5 * PAGE_SIZE, 6 * PAGE_SIZE]


def test_a_page_with_data_cannot_be_left_to_the_parent_as_well() -> None:
    with pytest.raises(ValueError, match="both"):
        PagemapImage.of(1, PageSet.from_pages([1, 2]), PageSet.from_pages([2, 3]))


def test_a_process_without_memory_has_an_empty_pagemap(tmp_path: Path) -> None:
    path = tmp_path / "pagemap-1.img"
    path.write_bytes(PagemapImage.of(3, EMPTY).encode())
    assert read_pagemap(path).covered == EMPTY
    assert path.read_bytes() == pack(Magic.PAGEMAP, [PagemapHead(pages_id=3)])
