"""Memory of our own that targets are copied to."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from engine.kernel.memory import PageBuffer
from engine.kernel.pagemap import Category, Pagemap
from engine.pageset import PAGE_SHIFT, PAGE_SIZE


@pytest.fixture
def own_pages() -> Iterator[Pagemap]:
    with Pagemap(os.getpid()) as pagemap:
        yield pagemap


def present_pages(own_pages: Pagemap, buffer: PageBuffer) -> int:
    first, pages = buffer.address >> PAGE_SHIFT, buffer.size_bytes >> PAGE_SHIFT
    found = own_pages.read([(first, first + pages)])
    return found.pages(with_all=Category.PRESENT).count


def test_all_of_a_buffer_is_mapped_in_before_it_is_used(own_pages: Pagemap) -> None:
    assert present_pages(own_pages, PageBuffer(300 * PAGE_SIZE)) == 300


def test_what_is_added_to_a_buffer_is_mapped_in_as_well(own_pages: Pagemap) -> None:
    buffer = PageBuffer(16 * PAGE_SIZE)
    buffer.resize(300 * PAGE_SIZE)
    assert buffer.size_bytes == len(buffer.view) == 300 * PAGE_SIZE
    assert present_pages(own_pages, buffer) == 300


@pytest.mark.parametrize("pages", [4, 400])
def test_a_buffer_that_is_resized_holds_what_it_held(pages: int) -> None:
    buffer = PageBuffer(16 * PAGE_SIZE)
    content = os.urandom(4 * PAGE_SIZE)
    buffer.view[: len(content)] = content
    buffer.resize(pages * PAGE_SIZE)
    assert buffer.view[: len(content)] == content


def test_a_piece_that_only_garbage_holds_is_in_nobodys_way() -> None:
    buffer = PageBuffer(16 * PAGE_SIZE)
    gc.disable()
    try:
        garbage: list[object] = [buffer.view[:PAGE_SIZE]]
        garbage.append(garbage)
        del garbage
        buffer.resize(32 * PAGE_SIZE)
    finally:
        gc.enable()
    assert buffer.size_bytes == 32 * PAGE_SIZE


def test_a_buffer_is_not_resized_under_whoever_looks_at_it() -> None:
    buffer = PageBuffer(16 * PAGE_SIZE)
    piece = buffer.view[:PAGE_SIZE]
    with pytest.raises(BufferError):
        buffer.resize(32 * PAGE_SIZE)
    piece[0] = 7
    assert buffer.view[0] == 7
    assert buffer.size_bytes == 16 * PAGE_SIZE
