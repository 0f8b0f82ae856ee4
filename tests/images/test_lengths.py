"""Pagemaps of CRIU 4.2 and later are made readable to older ones, and list what they listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import BadImage, UnknownFormat
from engine.images.framing import Magic, pack
from engine.images.lengths import fill_old_lengths
from engine.images.partial import PartialDirectory
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from tests.images.reference import PAGE, fields_of, listed

NAMES = ("pagemap-42.img", "pagemap-shmem-4711.img")


@pytest.fixture
def images(tmp_path: Path) -> Iterator[PartialDirectory]:
    made = PartialDirectory(tmp_path / "1")
    yield made
    made.remove()


def as_new_criu_writes(pages_id: int, *runs: tuple[int, int, int]) -> bytes:
    entries = [
        PagemapEntry(vaddr=first * PAGE, compat_nr_pages=0, flags=flags, nr_pages=count)
        for first, count, flags in runs
    ]
    return pack(Magic.PAGEMAP, [PagemapHead(pages_id=pages_id), *entries])


@pytest.mark.parametrize("name", NAMES)
def test_both_fields_hold_the_length_then(images: PartialDirectory, name: str) -> None:
    images.write(name, as_new_criu_writes(3, (1, 2, 4), (3, 1, 1), (9, 70000, 6)))
    before = listed(images.partial_path, name)
    fill_old_lengths(images)
    head, *entries = fields_of((images.partial_path / name).read_bytes())
    assert head == {1: 3}
    assert [(fields[2], fields[5], fields[4]) for fields in entries] == [
        (2, 2, 4),
        (1, 1, 1),
        (70000, 70000, 6),
    ]
    assert listed(images.partial_path, name) == before
    assert images.names == [name]


def test_a_run_too_long_for_the_older_field_becomes_several(images: PartialDirectory) -> None:
    images.write(NAMES[1], as_new_criu_writes(3, (1, 2**32 + 5, 4)))
    fill_old_lengths(images)
    _, *entries = fields_of((images.partial_path / NAMES[1]).read_bytes())
    assert [(fields[1] // PAGE, fields[2]) for fields in entries] == [(1, 2**32 - 1), (2**32, 6)]


@pytest.mark.parametrize(
    "content",
    [
        pack(
            Magic.PAGEMAP,
            [PagemapHead(pages_id=3), PagemapEntry(vaddr=PAGE, compat_nr_pages=2, in_parent=True)],
        ),
        pack(
            Magic.PAGEMAP, [PagemapHead(pages_id=3), PagemapEntry(vaddr=PAGE, compat_nr_pages=2, nr_pages=2)]
        ),
        pack(Magic.PAGEMAP, [PagemapHead(pages_id=3)]),
    ],
    ids=["an old one", "one of ours", "an empty one"],
)
def test_what_every_criu_reads_stays_as_it_is(images: PartialDirectory, content: bytes) -> None:
    images.write(NAMES[0], content)
    before = (images.partial_path / NAMES[0]).stat()
    fill_old_lengths(images)
    assert (images.partial_path / NAMES[0]).read_bytes() == content
    assert (images.partial_path / NAMES[0]).stat().st_ino == before.st_ino


def test_a_format_that_is_not_known_is_not_written_over(images: PartialDirectory) -> None:
    entry = PagemapEntry(vaddr=PAGE, compat_nr_pages=0, flags=12, nr_pages=1)
    content = pack(Magic.PAGEMAP, [PagemapHead(pages_id=3), entry])
    images.write(NAMES[0], content)
    with pytest.raises(UnknownFormat):
        fill_old_lengths(images)
    assert (images.partial_path / NAMES[0]).read_bytes() == content


def test_a_damaged_one_is_told(images: PartialDirectory) -> None:
    images.write(NAMES[0], as_new_criu_writes(3, (1, 2, 4))[:-1])
    with pytest.raises(BadImage, match="ends within a message"):
        fill_old_lengths(images)
