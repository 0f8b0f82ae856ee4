"""What a newer CRIU writes is named as that: it is neither sound nor damaged, and nothing is made of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import UnknownFormat
from engine.images.chain import flatten, read_chain, require_sound, verify
from engine.images.framing import Magic, header, pack
from engine.images.layout import LinkKind
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.pageset import PAGE_SHIFT
from tests.images.building import write_link


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Two pre-dumps and a dump of processes 42 and 43."""
    write_link(tmp_path / "1", {42: {1: 1}, 43: {5: 5}})
    write_link(tmp_path / "2", {42: {2: 2}, 43: {5: 6}}, {42: [1]}, parent=tmp_path / "1")
    write_link(
        tmp_path / "3", {42: {3: 3}, 43: {5: 7}}, {42: [1, 2]}, parent=tmp_path / "2", kind=LinkKind.DUMP
    )
    return tmp_path


COMPRESSED = (
    PagemapEntry(vaddr=5 << PAGE_SHIFT, compat_nr_pages=1, flags=4).SerializeToString() + b"\x32\x02\x08\x10"
)


def compressed_pages(chain: Path) -> None:
    head = pack(Magic.PAGEMAP, [PagemapHead(pages_id=2)])
    (chain / "1" / "pagemap-43.img").write_bytes(head + struct.pack("<I", len(COMPRESSED)) + COMPRESSED)


def new_flags(chain: Path) -> None:
    entry = PagemapEntry(vaddr=5 << PAGE_SHIFT, compat_nr_pages=1, flags=12)
    (chain / "2" / "pagemap-43.img").write_bytes(pack(Magic.PAGEMAP, [PagemapHead(pages_id=2), entry]))


def new_images(chain: Path) -> None:
    (chain / "3" / "inventory.img").write_bytes(pack(Magic.INVENTORY, [InventoryEntry(img_version=3)]))


def new_processor(chain: Path) -> None:
    (chain / "3" / "core-42.img").write_bytes(
        header(Magic.CORE) + struct.pack("<I", 2) + bytes([8, max(CoreEntry.March.values()) + 1])
    )


@pytest.mark.parametrize("change", [compressed_pages, new_flags, new_images, new_processor])
def test_what_a_newer_criu_has_made_is_named_as_that_and_not_as_damage(
    chain: Path, change: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    change(chain)
    out = tmp_path_factory.mktemp("out") / "flat"
    for use in (verify, require_sound, lambda read: flatten(read, out)):
        with pytest.raises(UnknownFormat) as caught:
            use(read_chain(chain))
        assert "newer" in caught.value.hint
    assert not out.exists()
