"""Files of messages: what is written is read, and what is damaged says where."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from engine.errors import BadImage
from engine.images.framing import Magic, header, pack, read_message, read_messages
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.proto.stats_pb2 import StatsEntry

TREE = [PstreeEntry(pid=pid, ppid=0, pgid=pid, sid=pid, threads=[pid, pid + 1]) for pid in (7, 9)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pstree.img"


def test_messages_are_read_as_they_were_written(path: Path) -> None:
    path.write_bytes(pack(Magic.PSTREE, TREE))
    assert read_messages(path, Magic.PSTREE, PstreeEntry) == TREE


def test_a_tree_has_the_very_bytes_that_criu_writes() -> None:
    task = PstreeEntry(pid=0xC78, ppid=0, pgid=0xC78, sid=0xC78, threads=[0xC78])
    expected = "19435654 3030 2750 0e000000 08f818 1000 18f818 20f818 28f818"
    assert pack(Magic.PSTREE, [task]) == bytes.fromhex(expected)


def test_each_kind_has_its_own_beginning() -> None:
    assert header(Magic.INVENTORY).hex() == "16313158"
    assert header(Magic.STATS).hex() == "4059105506330957"
    assert header(Magic.PAGEMAP).hex() == "1943565425400856"


def test_a_message_of_no_bytes_is_a_message(path: Path) -> None:
    path.write_bytes(pack(Magic.STATS, [StatsEntry()]))
    assert read_messages(path, Magic.STATS, StatsEntry) == [StatsEntry()]


@pytest.mark.parametrize("missing", range(1, 25))
def test_a_file_cut_anywhere_but_between_messages_is_refused(path: Path, missing: int) -> None:
    whole = pack(Magic.PSTREE, TREE[:1])
    path.write_bytes(whole[:-missing])
    if len(whole) - missing == len(header(Magic.PSTREE)):
        assert read_messages(path, Magic.PSTREE, PstreeEntry) == []
    else:
        with pytest.raises(BadImage, match=r"pstree\.img: at byte (0|8): .*ends within"):
            read_messages(path, Magic.PSTREE, PstreeEntry)


def test_an_image_of_another_kind_is_refused(path: Path) -> None:
    path.write_bytes(pack(Magic.MM, []))
    with pytest.raises(BadImage, match=r"at byte 4: not a pstree image \(magic 0x57492820"):
        read_messages(path, Magic.PSTREE, PstreeEntry)
    path.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(BadImage, match="at byte 0: not a pstree image"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31])
def test_an_absurd_length_is_refused_without_asking_for_the_memory(path: Path, length: int) -> None:
    path.write_bytes(header(Magic.PSTREE) + struct.pack("<I", length) + b"\x08\x01")
    with pytest.raises(BadImage, match="at byte 8: an absurd length"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


def test_bytes_that_are_no_message_are_refused_where_they_begin(path: Path) -> None:
    path.write_bytes(pack(Magic.PSTREE, TREE[:1]) + struct.pack("<I", 2) + b"\x08\xff")
    with pytest.raises(BadImage, match="at byte 28: not a PstreeEntry"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


def test_where_one_message_is_expected_two_are_refused(path: Path) -> None:
    path.write_bytes(pack(Magic.INVENTORY, [InventoryEntry(img_version=0)] * 2))
    with pytest.raises(BadImage, match="holds 2 messages"):
        read_message(path, Magic.INVENTORY, InventoryEntry)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(BadImage, match=r"pstree\.img is missing"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(pack(Magic.PSTREE, TREE))
    path.symlink_to("elsewhere")
    with pytest.raises(BadImage, match="symbolic link"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


def test_a_fifo_is_refused_and_does_not_make_us_wait(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(BadImage, match="not a plain file"):
        read_messages(path, Magic.PSTREE, PstreeEntry)


def test_a_hostile_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(BadImage) as caught:
        read_messages(tmp_path / "\x1b[2J.img", Magic.PSTREE, PstreeEntry)
    assert "\x1b" not in caught.value.message
