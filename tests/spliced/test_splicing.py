"""Pages put into a dump that lists them without having them: the images alone, without a process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadImage, LinkFailed
from engine.images.framing import Magic, pack
from engine.images.layout import pagemap_name, pages_name
from engine.images.pagemap import PE_LAZY, PE_PRESENT, PagemapImage, read_pagemap
from engine.images.pagemap_entries import encode_entries
from engine.images.partial import PartialDirectory
from engine.images.proto.pagemap_pb2 import PagemapHead
from engine.images.splicing import splice
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet

_NAME = pagemap_name(7)
_OURS, _THEIRS, _HOLE, _LAZY_BUT_THERE = "ours", "theirs", "hole", "lazy but there"
_OURS_UNLISTED, _HOLE_UNLISTED = "ours, and not listed", "a hole, and not listed"
_ROLES = (_OURS, _THEIRS, _HOLE, _LAZY_BUT_THERE, _OURS_UNLISTED, _HOLE_UNLISTED)


def content(page: int) -> bytes:
    return page.to_bytes(8, "little") * (PAGE_SIZE // 8)


def data(pages: PageSet) -> bytes:
    return b"".join(map(content, pages.pages().tolist()))


def write_theirs(images: PartialDirectory, present: PageSet, lazy: PageSet, there: PageSet) -> None:
    """What CRIU leaves: pages that are present, pages that are only lazy, and pages that are both."""
    parts = ((present, PE_PRESENT), (lazy, PE_LAZY), (there, PE_PRESENT | PE_LAZY))
    rows = sorted((first, end, flags) for pages, flags in parts for first, end in pages.ranges())
    starts, ends, flags = (np.array([row[at] for row in rows], np.uint64) for at in range(3))
    entries = encode_entries(starts << np.uint64(PAGE_SHIFT), ends - starts, flags)
    images.write(_NAME, pack(Magic.PAGEMAP, [PagemapHead(pages_id=3)]) + entries)
    if present | there:
        images.write(pages_name(3), data(present | there))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.integers(1, 300), st.sampled_from(_ROLES), min_size=1))
def test_every_page_has_its_data_or_is_left_to_the_parent(
    tmp_path_factory: pytest.TempPathFactory, roles: dict[int, str]
) -> None:
    sets = {
        role: PageSet.from_pages([page for page in roles if roles[page] == role]) for role in roles.values()
    }
    saved, holes = sets.get(_OURS, EMPTY), sets.get(_HOLE, EMPTY)
    saved_unlisted = sets.get(_OURS_UNLISTED, EMPTY)
    unlisted = saved_unlisted | sets.get(_HOLE_UNLISTED, EMPTY)
    theirs, there = sets.get(_THEIRS, EMPTY), sets.get(_LAZY_BUT_THERE, EMPTY)
    images = PartialDirectory(tmp_path_factory.mktemp("images") / "1")
    try:
        write_theirs(images, theirs, saved | holes, there)
        assert read_pagemap(images.partial_path / _NAME).promised == saved | holes
        saved, holes = saved | saved_unlisted, holes | (unlisted - saved_unlisted)
        splice(
            images,
            _NAME,
            saved,
            lambda fd, pages: assert_written(fd, data(pages)),
            holes,
            unlisted=unlisted,
            unlisted_lazy=saved_unlisted,
        )
        made = read_pagemap(images.partial_path / _NAME)
        assert made.pages_id == 3
        assert made.present == theirs | there | saved
        assert made.in_parent == holes
        assert made.lazy == there | saved
        assert made.promised == EMPTY
        if made.present:
            assert (images.partial_path / pages_name(3)).read_bytes() == data(made.present)
        assert sorted(os.listdir(images.partial_path)) == sorted(set(images.names))
    finally:
        images.remove()


def assert_written(fd: int, pages: bytes) -> None:
    assert os.write(fd, pages) == len(pages)


@pytest.fixture
def images(tmp_path: Path) -> PartialDirectory:
    return PartialDirectory(tmp_path / "1")


def test_a_page_that_nobody_has_makes_it_fail(images: PartialDirectory) -> None:
    write_theirs(images, EMPTY, PageSet.from_pages([1, 2, 3]), EMPTY)
    with pytest.raises(LinkFailed, match="1 pages are neither saved nor in the parent"):
        splice(images, _NAME, PageSet.from_pages([1]), lambda fd, pages: None, PageSet.from_pages([3]))


def test_a_pages_file_that_is_too_short_is_damaged(images: PartialDirectory) -> None:
    write_theirs(images, PageSet.from_pages([1, 2]), PageSet.from_pages([5]), EMPTY)
    os.truncate(images.partial_path / pages_name(3), PAGE_SIZE)
    with pytest.raises(BadImage, match="the file ends"):
        splice(images, _NAME, PageSet.from_pages([5]), lambda fd, pages: None, EMPTY)


def test_without_pages_of_ours_the_pages_file_stays_the_same(images: PartialDirectory) -> None:
    write_theirs(images, PageSet.from_pages([1, 2]), PageSet.from_pages([5]), EMPTY)
    before = os.stat(images.partial_path / pages_name(3))
    made = splice(images, _NAME, EMPTY, lambda fd, pages: None, PageSet.from_pages([5]))
    assert os.stat(images.partial_path / pages_name(3)) == before
    assert isinstance(made, PagemapImage)
    assert made.in_parent == PageSet.from_pages([5])


def test_a_disk_that_fails_only_when_pages_are_closed_is_told_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.close

    def fail(fd: int) -> None:
        has_pages = os.readlink(f"/proc/self/fd/{fd}").endswith("spliced.img")
        honest(fd)
        if has_pages:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    saved = PageSet.from_pages([2])
    images = PartialDirectory(tmp_path / "1")
    try:
        write_theirs(images, PageSet.from_pages([1]), saved, EMPTY)
        with monkeypatch.context() as patched:
            patched.setattr(os, "close", fail)
            with pytest.raises(LinkFailed, match="Input/output error"):
                splice(images, _NAME, saved, lambda fd, pages: assert_written(fd, data(pages)), EMPTY)
    finally:
        images.remove()
    assert os.listdir(tmp_path) == []
