"""Every kind of damage to a chain is found, and said in a line that names the file."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BadImage
from engine.images.chain import read_chain, require_sound, verify
from engine.images.framing import Magic, header, pack, read_message
from engine.images.layout import LinkKind
from engine.images.pagemap import PagemapImage, read_pagemap
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.mm_pb2 import MmEntry
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.stats import DumpStats
from engine.pageset import EMPTY, PAGE_SHIFT, PAGE_SIZE, PageSet
from tests.images.building import write_link

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


def rewrite_pagemap(path: Path, present: PageSet, holes: PageSet) -> None:
    path.write_bytes(PagemapImage.of(read_pagemap(path).pages_id, present, holes).encode())


def reparent(link: Path, target: str) -> None:
    (link / "parent").unlink()
    (link / "parent").symlink_to(target)


def truncate_pages(chain: Path) -> None:
    os.truncate(chain / "1" / "pages-1.img", 7 * PAGE_SIZE)


def lengthen_pages(chain: Path) -> None:
    os.truncate(chain / "1" / "pages-1.img", 9 * PAGE_SIZE)


def remove_pages(chain: Path) -> None:
    (chain / "1" / "pages-2.img").unlink()


def fifo_for_pages(chain: Path) -> None:
    (chain / "1" / "pages-2.img").unlink()
    os.mkfifo(chain / "1" / "pages-2.img")


def link_for_pages(chain: Path) -> None:
    (chain / "1" / "pages-2.img").rename(chain / "elsewhere")
    (chain / "1" / "pages-2.img").symlink_to("../elsewhere")


def orphan_pages(chain: Path) -> None:
    (chain / "1" / "pages-9.img").write_bytes(bytes(PAGE_SIZE))


def share_pages(chain: Path) -> None:
    pagemap = read_pagemap(chain / "1" / "pagemap-42.img")
    (chain / "1" / "pagemap-43.img").write_bytes(pagemap.encode())


def forget_entry(chain: Path) -> None:
    pages = PageSet.from_pages([1, 2, 3, 4, 6, 7, 8])
    rewrite_pagemap(chain / "2" / "pagemap-42.img", PageSet.from_pages([2]), pages - PageSet.from_pages([2]))


def forget_process(chain: Path) -> None:
    (chain / "2" / "pagemap-43.img").unlink()


def hole_in_the_oldest(chain: Path) -> None:
    rewrite_pagemap(
        chain / "1" / "pagemap-43.img", present=PageSet.from_pages([5]), holes=PageSet.from_pages([9])
    )


def lazy_page(chain: Path) -> None:
    entry = PagemapEntry(vaddr=5 << PAGE_SHIFT, compat_nr_pages=1, flags=2)
    data = pack(Magic.PAGEMAP, [PagemapHead(pages_id=2), entry])
    (chain / "1" / "pagemap-43.img").write_bytes(data)


def descend(chain: Path) -> None:
    entries = [PagemapEntry(vaddr=page << PAGE_SHIFT, compat_nr_pages=1) for page in (7, 5)]
    data = pack(Magic.PAGEMAP, [PagemapHead(pages_id=2), *entries])
    (chain / "1" / "pagemap-43.img").write_bytes(data)


def truncate_pagemap(chain: Path) -> None:
    path = chain / "1" / "pagemap-42.img"
    os.truncate(path, path.stat().st_size - 1)


def wrong_magic(chain: Path) -> None:
    shutil.copy(chain / "1" / "inventory.img", chain / "1" / "pagemap-42.img")


def huge_length(chain: Path) -> None:
    (chain / "1" / "pagemap-42.img").write_bytes(header(Magic.PAGEMAP) + struct.pack("<I", 2**32 - 1))


def foreign_process(chain: Path) -> None:
    (chain / "3" / "pagemap-99.img").write_bytes(PagemapImage.of(9, EMPTY).encode())
    (chain / "3" / "pages-9.img").touch()


def no_memory(chain: Path) -> None:
    (chain / "3" / "pagemap-43.img").unlink()


def no_registers(chain: Path) -> None:
    (chain / "3" / "core-1043.img").unlink()


def no_state(chain: Path) -> None:
    shutil.copy(chain / "3" / "core-1043.img", chain / "3" / "core-43.img")


def no_mappings(chain: Path) -> None:
    (chain / "3" / "mm-43.img").unlink()


def unmapped_memory(chain: Path) -> None:
    path = chain / "3" / "mm-42.img"
    mm = read_message(path, Magic.MM, MmEntry)
    mm.vmas[0].end -= PAGE_SIZE
    path.write_bytes(pack(Magic.MM, [mm]))


def orphan_process(chain: Path) -> None:
    tree = [PstreeEntry(pid=pid, ppid=pid and 7, pgid=1, sid=1, threads=[pid]) for pid in (42, 43)]
    (chain / "3" / "pstree.img").write_bytes(pack(Magic.PSTREE, tree))


def empty_tree(chain: Path) -> None:
    (chain / "3" / "pstree.img").write_bytes(pack(Magic.PSTREE, []))


def damaged_tree(chain: Path) -> None:
    os.truncate(chain / "3" / "pstree.img", 9)


def other_stats(chain: Path) -> None:
    stats = DumpStats(pages_written=8, pages_skipped_parent=1)
    (chain / "1" / "stats-dump").write_bytes(pack(Magic.STATS, [stats.to_message()]))


def no_inventory(chain: Path) -> None:
    (chain / "1" / "inventory.img").unlink()


def no_stats(chain: Path) -> None:
    (chain / "2" / "stats-dump").unlink()


def damaged_stats(chain: Path) -> None:
    os.truncate(chain / "2" / "stats-dump", 20)


def cycle(chain: Path) -> None:
    (chain / "1" / "parent").symlink_to("../3")


def own_parent(chain: Path) -> None:
    reparent(chain / "2", ".")


def dangling_parent(chain: Path) -> None:
    shutil.rmtree(chain / "1")


def absolute_parent(chain: Path) -> None:
    reparent(chain / "3", str(chain / "2"))


def looping_parent(chain: Path) -> None:
    reparent(chain / "3", "parent")


def parent_is_a_file(chain: Path) -> None:
    reparent(chain / "3", "../2/stats-dump")


def parent_is_no_link(chain: Path) -> None:
    (chain / "3" / "parent").unlink()
    (chain / "3" / "parent").mkdir()


def partial_parent(chain: Path) -> None:
    (chain / "2").rename(chain / "2.partial")
    reparent(chain / "3", "../2.partial")


def no_parent(chain: Path) -> None:
    (chain / "2" / "parent").unlink()


def skipped_parent(chain: Path) -> None:
    rewrite_pagemap(chain / "1" / "pagemap-43.img", present=EMPTY, holes=EMPTY)
    reparent(chain / "3", "../1")


def incomplete_newest(chain: Path) -> None:
    shutil.copytree(chain / "3", chain / "4", symlinks=True)
    (chain / "4" / "stats-dump").unlink()


def fifo_for_files(chain: Path) -> None:
    os.mkfifo(chain / "3" / "files.img")


def two_lengths(chain: Path) -> None:
    entry = PagemapEntry(vaddr=5 << PAGE_SHIFT, compat_nr_pages=1, nr_pages=2)
    data = pack(Magic.PAGEMAP, [PagemapHead(pages_id=2), entry])
    (chain / "1" / "pagemap-43.img").write_bytes(data)


def twice_in_the_tree(chain: Path) -> None:
    tree = [PstreeEntry(pid=pid, ppid=0, pgid=1, sid=1, threads=[pid]) for pid in (42, 43, 42)]
    (chain / "3" / "pstree.img").write_bytes(pack(Magic.PSTREE, tree))


DAMAGE: dict[Callable[[Path], None], str] = {
    truncate_pages: "1/pages-1.img has 28672 bytes; pagemap-42.img says 32768",
    lengthen_pages: "1/pages-1.img has 36864 bytes; pagemap-42.img says 32768",
    remove_pages: "1/pages-2.img is missing",
    fifo_for_pages: "1/pages-2.img is not a plain file",
    link_for_pages: "1/pages-2.img: cannot read it (it is a symbolic link)",
    orphan_pages: "1/pages-9.img belongs to no pagemap",
    share_pages: "1/pages-1.img is claimed both by pagemap-42.img and by pagemap-43.img",
    forget_entry: "3/pagemap-42.img: pages left to the parent, "
    "which does not list them: 1, the first at 0x5000",
    forget_process: "3/pagemap-43.img: pages left to the parent, "
    "which has no pagemap-43.img: 1, the first at 0x5000",
    hole_in_the_oldest: "1/pagemap-43.img: pages left to the parent, "
    "and there is no parent: 1, the first at 0x9000",
    lazy_page: "1/pagemap-43.img: pages left to a server of lazy pages: 1, the first at 0x5000",
    descend: "1/pagemap-43.img: at byte 28: the entries are not in ascending order",
    truncate_pagemap: "1/pagemap-42.img: at byte 14: the file ends within a message",
    wrong_magic: "1/pagemap-42.img: at byte 0: not a pagemap image",
    huge_length: "1/pagemap-42.img: at byte 8: an absurd length (4294967295 bytes, 0 are left)",
    foreign_process: "3/pagemap-99.img: process 99 is not in pstree.img",
    no_memory: "3/pagemap-43.img is missing, and process 43 was alive",
    no_registers: "3/core-1043.img is missing",
    no_state: "3/core-43.img does not say what state process 43 was in",
    no_mappings: "3/mm-43.img is missing",
    unmapped_memory: "3/pagemap-42.img: pages in no mapping of mm-42.img: 1, the first at 0x8000",
    orphan_process: "3/pstree.img: process 7, the parent of 42, is not in it",
    empty_tree: "3/pstree.img names no process",
    damaged_tree: "3/pstree.img: at byte 8: the file ends within the length of a message",
    other_stats: "1/stats-dump says 8 pages were written; the pagemaps list 9",
    no_inventory: "1/inventory.img is missing",
    no_stats: "2 is incomplete: it has no stats-dump",
    damaged_stats: "2/stats-dump: at byte 8: the file ends within a message",
    cycle: "1/parent: the chain runs in a circle",
    own_parent: "2/parent: the chain runs in a circle",
    dangling_parent: "2/parent: the parent ../1 is not there",
    absolute_parent: "3/parent is absolute",
    looping_parent: "3/parent: the parent parent is a loop of links",
    parent_is_a_file: "3/parent: the parent ../2/stats-dump is not a directory",
    parent_is_no_link: "3/parent is not a symbolic link",
    partial_parent: "2.partial has not been completed",
    incomplete_newest: "4/stats-dump is missing: the link is incomplete",
    fifo_for_files: "3/files.img is not a plain file",
    two_lengths: "1/pagemap-43.img: at byte 18: an entry of two lengths",
    twice_in_the_tree: "3/pstree.img names process 42 twice",
    no_parent: "2/pagemap-42.img: pages left to the parent, and there is no parent: 7, the first at 0x1000",
    skipped_parent: "3/pagemap-43.img: pages left to the parent, "
    "which does not list them: 1, the first at 0x5000",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_found(chain: Path, damage: Callable[[Path], None]) -> None:
    damage(chain)
    expected = DAMAGE[damage]
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
    truncate_pages(chain)
    no_registers(chain)
    with pytest.raises(BadImage, match=r"^the chain is not sound: .*/1: pages-1\.img has .*, and 1 more$"):
        require_sound(read_chain(chain))


def test_a_sound_chain_is_measured(chain: Path) -> None:
    found = require_sound(read_chain(chain))
    assert found.size_bytes == 10 * PAGE_SIZE
    assert not found.lacks_old_lengths


def test_lengths_that_only_new_criu_reads_are_noticed_anywhere_in_the_chain(chain: Path) -> None:
    entry = PagemapEntry(vaddr=5 << PAGE_SHIFT, compat_nr_pages=0, nr_pages=1, flags=4)
    data = pack(Magic.PAGEMAP, [PagemapHead(pages_id=2), entry])
    (chain / "1" / "pagemap-43.img").write_bytes(data)
    assert require_sound(read_chain(chain)).lacks_old_lengths


def test_an_unreadable_pagemap_does_not_hide_other_damage(chain: Path) -> None:
    wrong_magic(chain)
    no_registers(chain)
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
