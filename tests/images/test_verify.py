"""Every kind of damage to a chain is found, and said in a line that names the file."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from engine.errors import BadImage
from engine.images.chain import read_chain, require_sound, verify
from engine.images.framing import Magic, header, pack, read_message
from engine.images.layout import LinkKind
from engine.images.pagemap import PagemapImage
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.mm_pb2 import MmEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.stats import DumpStats
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from tests.images.building import pagemap_data, write_link

DEAD = 6


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Links 1 and 2, pre-dumps, and 3, a dump, of processes 42 and 43."""
    write_link(tmp_path / "1", {42: dict.fromkeys(range(1, 9), 1), 43: {5: 5}})
    write_link(
        tmp_path / "2", {42: {2: 2}, 43: {}}, {42: [1, 3, 4, 5, 6, 7, 8], 43: [5]}, parent=tmp_path / "1"
    )
    write_link(
        tmp_path / "3",
        {42: {3: 3}, 43: {6: 6}},
        {42: [1, 2, 4, 5, 6, 7, 8], 43: [5]},
        parent=tmp_path / "2",
        kind=LinkKind.DUMP,
    )
    return tmp_path


def complaints(chain: Path) -> list[str]:
    """What is said of a chain, each line with the name of its link."""
    try:
        problems = verify(read_chain(chain))
    except BadImage as error:
        return [error.message.removeprefix(f"{chain}/")]
    return [f"{problem.path.name}/{problem.text}" for problem in problems]


def test_a_sound_chain_is_sound(chain: Path) -> None:
    assert complaints(chain) == []


# -- what can be done to a chain; names are relative to its directory

Damage = Callable[[Path], object]


def cut(name: str, size_bytes: int) -> Damage:
    return lambda chain: os.truncate(chain / name, size_bytes)


def remove(name: str) -> Damage:
    return lambda chain: (chain / name).unlink()


def put(name: str, content: bytes) -> Damage:
    return lambda chain: (chain / name).write_bytes(content)


def copy(name: str, to: str) -> Damage:
    return lambda chain: shutil.copy(chain / name, chain / to)


def reparent(link: str, target: str) -> Damage:
    def damage(chain: Path) -> None:
        (chain / link / "parent").unlink()
        (chain / link / "parent").symlink_to(target.format(chain))

    return damage


def pagemap(name: str, pages_id: int, present: Iterable[int], holes: Iterable[int] = ()) -> Damage:
    image = PagemapImage.of(pages_id, PageSet.from_pages(sorted(present)), PageSet.from_pages(sorted(holes)))
    return put(name, image.encode())


def entries(*entries: PagemapEntry) -> Damage:
    """For the pages of process 43 in the first link."""
    return put("1/pagemap-43.img", pagemap_data(2, *entries))


def entry(page: int, **fields: int) -> PagemapEntry:
    return PagemapEntry(vaddr=page << PAGE_SHIFT, **{"compat_nr_pages": 1} | fields)  # type: ignore[arg-type]


def tree(*parents: tuple[int, int]) -> Damage:
    """Of processes, each with its parent."""
    tasks = [PstreeEntry(pid=pid, ppid=parent, pgid=1, sid=1, threads=[pid]) for pid, parent in parents]
    return put("3/pstree.img", pack(Magic.PSTREE, tasks))


def all_of(*damages: Damage) -> Damage:
    return lambda chain: [damage(chain) for damage in damages]


def fifo_for_pages(chain: Path) -> None:
    (chain / "1" / "pages-2.img").unlink()
    os.mkfifo(chain / "1" / "pages-2.img")


def link_for_pages(chain: Path) -> None:
    (chain / "1" / "pages-2.img").rename(chain / "elsewhere")
    (chain / "1" / "pages-2.img").symlink_to("../elsewhere")


def last_byte_cut(chain: Path) -> None:
    path = chain / "1" / "pagemap-42.img"
    os.truncate(path, path.stat().st_size - 1)


def unmapped_memory(chain: Path) -> None:
    path = chain / "3" / "mm-42.img"
    mm = read_message(path, Magic.MM, MmEntry)
    mm.vmas[0].end -= PAGE_SIZE
    path.write_bytes(pack(Magic.MM, [mm]))


def parent_is_no_link(chain: Path) -> None:
    (chain / "3" / "parent").unlink()
    (chain / "3" / "parent").mkdir()


def partial_parent(chain: Path) -> None:
    (chain / "2").rename(chain / "2.partial")
    reparent("3", "../2.partial")(chain)


def incomplete_newest(chain: Path) -> None:
    shutil.copytree(chain / "3", chain / "4", symlinks=True)
    (chain / "4" / "stats-dump").unlink()


WRONG_MAGIC = copy("1/inventory.img", "1/pagemap-42.img")
NO_REGISTERS = remove("3/core-1043.img")
PAGES_CUT = cut("1/pages-1.img", 7 * PAGE_SIZE)

DAMAGE: dict[str, tuple[Damage, str]] = {
    "pages cut": (PAGES_CUT, "1/pages-1.img has 28672 bytes; pagemap-42.img says 32768"),
    "too many pages": (
        cut("1/pages-1.img", 9 * PAGE_SIZE),
        "1/pages-1.img has 36864 bytes; pagemap-42.img says 32768",
    ),
    "no pages": (remove("1/pages-2.img"), "1/pages-2.img is missing"),
    "a fifo for pages": (fifo_for_pages, "1/pages-2.img is not a plain file"),
    "a link for pages": (link_for_pages, "1/pages-2.img: cannot read it (it is a symbolic link)"),
    "pages of nobody": (put("1/pages-9.img", bytes(PAGE_SIZE)), "1/pages-9.img belongs to no pagemap"),
    "pages of two": (
        copy("1/pagemap-42.img", "1/pagemap-43.img"),
        "1/pages-1.img is claimed both by pagemap-42.img and by pagemap-43.img",
    ),
    "an entry forgotten": (
        pagemap("2/pagemap-42.img", 1, [2], [1, 3, 4, 6, 7, 8]),
        "3/pagemap-42.img: pages left to the parent, which does not list them: 1, the first at 0x5000",
    ),
    "a process forgotten": (
        remove("2/pagemap-43.img"),
        "3/pagemap-43.img: pages left to the parent, which has no pagemap-43.img: 1, the first at 0x5000",
    ),
    "a hole in the oldest": (
        pagemap("1/pagemap-43.img", 2, [5], [9]),
        "1/pagemap-43.img: pages left to the parent, and there is no parent: 1, the first at 0x9000",
    ),
    "a lazy page": (
        entries(entry(5, flags=2)),
        "1/pagemap-43.img: pages left to a server of lazy pages: 1, the first at 0x5000",
    ),
    "entries that descend": (
        entries(entry(7), entry(5)),
        "1/pagemap-43.img: at byte 28: the entries are not in ascending order",
    ),
    "an entry of two lengths": (
        entries(entry(5, nr_pages=2)),
        "1/pagemap-43.img: at byte 18: an entry of two lengths",
    ),
    "a pagemap cut": (last_byte_cut, "1/pagemap-42.img: at byte 14: the file ends within a message"),
    "another kind of image": (WRONG_MAGIC, "1/pagemap-42.img: at byte 0: not a pagemap image"),
    "a huge length": (
        put("1/pagemap-42.img", header(Magic.PAGEMAP) + struct.pack("<I", 2**32 - 1)),
        "1/pagemap-42.img: at byte 8: an absurd length (4294967295 bytes, 0 are left)",
    ),
    "a foreign process": (
        all_of(pagemap("3/pagemap-99.img", 9, []), put("3/pages-9.img", b"")),
        "3/pagemap-99.img: process 99 is not in pstree.img",
    ),
    "no memory": (remove("3/pagemap-43.img"), "3/pagemap-43.img is missing, and process 43 was alive"),
    "no registers": (NO_REGISTERS, "3/core-1043.img is missing"),
    "no state": (
        copy("3/core-1043.img", "3/core-43.img"),
        "3/core-43.img does not say what state process 43 was in",
    ),
    "no mappings": (remove("3/mm-43.img"), "3/mm-43.img is missing"),
    "memory not mapped": (
        unmapped_memory,
        "3/pagemap-42.img: pages in no mapping of mm-42.img: 1, the first at 0x8000",
    ),
    "an orphan": (
        tree((42, 7), (43, 7)),
        "3/pstree.img: process 7, the parent of 42, is not in it",
    ),
    "an empty tree": (tree(), "3/pstree.img names no process"),
    "a process twice": (tree((42, 0), (43, 0), (42, 0)), "3/pstree.img names process 42 twice"),
    "a tree cut": (
        cut("3/pstree.img", 9),
        "3/pstree.img: at byte 8: the file ends within the length of a message",
    ),
    "other statistics": (
        put("1/stats-dump", pack(Magic.STATS, [DumpStats(8, 1).to_message()])),
        "1/stats-dump says 8 pages were written; the pagemaps list 9",
    ),
    "no inventory": (remove("1/inventory.img"), "1/inventory.img is missing"),
    "no statistics": (remove("2/stats-dump"), "2 is incomplete: it has no stats-dump"),
    "statistics cut": (cut("2/stats-dump", 20), "2/stats-dump: at byte 8: the file ends within a message"),
    "a circle": (
        lambda chain: (chain / "1" / "parent").symlink_to("../3"),
        "1/parent: the chain runs in a circle",
    ),
    "its own parent": (reparent("2", "."), "2/parent: the chain runs in a circle"),
    "a parent that is gone": (
        lambda chain: shutil.rmtree(chain / "1"),
        "2/parent: the parent ../1 is not there",
    ),
    "an absolute parent": (reparent("3", "{}/2"), "3/parent is absolute"),
    "a parent in a loop": (reparent("3", "parent"), "3/parent: the parent parent is a loop of links"),
    "a file for a parent": (
        reparent("3", "../2/stats-dump"),
        "3/parent: the parent ../2/stats-dump is not a directory",
    ),
    "a parent that is no link": (parent_is_no_link, "3/parent is not a symbolic link"),
    "a partial parent": (partial_parent, "2.partial has not been completed"),
    "no parent": (
        remove("2/parent"),
        "2/pagemap-42.img: pages left to the parent, and there is no parent: 7, the first at 0x1000",
    ),
    "a parent passed over": (
        all_of(pagemap("1/pagemap-43.img", 2, []), reparent("3", "../1")),
        "3/pagemap-43.img: pages left to the parent, which does not list them: 1, the first at 0x5000",
    ),
    "the newest incomplete": (incomplete_newest, "4/stats-dump is missing: the link is incomplete"),
    "a fifo for files": (
        lambda chain: os.mkfifo(chain / "3" / "files.img"),
        "3/files.img is not a plain file",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(chain: Path, kind: str) -> None:
    damage, expected = DAMAGE[kind]
    damage(chain)
    found = complaints(chain)
    assert any(line.startswith(expected) for line in found), found
    assert not any("\n" in line for line in found)


def test_a_zombie_has_neither_memory_nor_mappings(chain: Path) -> None:
    last = chain / "3"
    path = last / "core-43.img"
    core = read_message(path, Magic.CORE, CoreEntry)
    core.tc.task_state = DEAD
    path.write_bytes(pack(Magic.CORE, [core]))
    (last / "pagemap-43.img").unlink()
    (last / "pages-2.img").unlink()
    (last / "mm-43.img").unlink()
    tree = [
        PstreeEntry(pid=42, ppid=0, pgid=1, sid=1, threads=[42, 1042]),
        PstreeEntry(pid=43, ppid=42, pgid=1, sid=1, threads=[2153087504]),
    ]
    (last / "pstree.img").write_bytes(pack(Magic.PSTREE, tree))
    stats = DumpStats(pages_written=1, pages_skipped_parent=7)
    (last / "stats-dump").write_bytes(pack(Magic.STATS, [stats.to_message()]))
    assert complaints(chain) == []


def test_an_empty_directory_with_a_number_is_no_incomplete_link(chain: Path) -> None:
    (chain / "4").mkdir()
    assert complaints(chain) == []


def test_what_is_said_of_several_is_counted_where_something_was_to_be_made(chain: Path) -> None:
    PAGES_CUT(chain)
    NO_REGISTERS(chain)
    with pytest.raises(BadImage, match=r"^the chain is not sound: .*/1: pages-1\.img has .*, and 1 more$"):
        require_sound(read_chain(chain))


def test_a_sound_chain_is_measured(chain: Path) -> None:
    found = require_sound(read_chain(chain))
    assert found.size_bytes == 10 * PAGE_SIZE
    assert not found.lacks_old_lengths


def test_lengths_that_only_new_criu_reads_are_noticed_anywhere_in_the_chain(chain: Path) -> None:
    entries(entry(5, compat_nr_pages=0, nr_pages=1, flags=4))(chain)
    assert require_sound(read_chain(chain)).lacks_old_lengths


def test_an_unreadable_pagemap_does_not_hide_other_damage(chain: Path) -> None:
    WRONG_MAGIC(chain)
    NO_REGISTERS(chain)
    assert len(complaints(chain)) == 2


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[2J\n"
    hostile.mkdir()
    write_link(hostile / "1", {42: {1: 1}})
    (hostile / "1" / "pages-1.img").unlink()
    (problem,) = verify(read_chain(hostile))
    assert problem.text == "pages-1.img is missing"
    (hostile / "1" / "parent").symlink_to("../\x1b[2J")
    with pytest.raises(BadImage) as caught:
        read_chain(hostile)
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
