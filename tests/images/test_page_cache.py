"""Page data is written past the page cache, wherever and whatever it is."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.images.files import bypass_page_cache, write_fully
from engine.kernel.memory import PageBuffer
from engine.pageset import PAGE_SIZE

PAGES = 8


@pytest.fixture(params=["disk", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A new file of some file system; that of /dev/shm has no disk."""
    if request.param == "disk":
        yield tmp_path / "pages"
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "pages"


def random_pages() -> PageBuffer:
    buffer = PageBuffer(PAGES * PAGE_SIZE)
    buffer.view[:] = os.urandom(buffer.size_bytes)
    return buffer


def test_what_is_written_can_be_read(file: Path) -> None:
    buffer = random_pages()
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        bypass_page_cache(fd)
        write_fully(fd, buffer.view[:PAGE_SIZE])
        write_fully(fd, buffer.view[PAGE_SIZE:])
    finally:
        os.close(fd)
    assert file.read_bytes() == buffer.view


def test_data_that_is_not_aligned_is_written_all_the_same(file: Path) -> None:
    buffer = random_pages()
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        bypass_page_cache(fd)
        for piece in (
            buffer.view[:PAGE_SIZE],
            buffer.view[PAGE_SIZE : PAGE_SIZE + 5],
            buffer.view[5 + PAGE_SIZE :],
        ):
            write_fully(fd, piece)
    finally:
        os.close(fd)
    assert file.read_bytes() == buffer.view


def test_a_file_that_is_written_past_it_takes_no_memory(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "pages", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        bypass_page_cache(fd)
        if not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            pytest.skip("this file system has no way past the page cache")
        write_fully(fd, random_pages().view)
        # RWF_NOWAIT answers only with what is in the page cache.
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)
        with pytest.raises(BlockingIOError):
            os.preadv(fd, [mmap.mmap(-1, PAGE_SIZE)], 0, os.RWF_NOWAIT)
    finally:
        os.close(fd)
