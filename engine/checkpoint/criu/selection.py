"""Which pages a CRIU dump or pre-dump of this moment would write (criu/mem.c, criu/pagemap-cache.c).

CRIU saves what is resident or swapped in private mappings, without zero pages and without pages of files
that were never written; all of the vDSO; and one page that it makes the process's own by working in it:
to run system calls in a process it writes over the first instructions of its first executable
mapping, and back again, so that page is copied and no longer the file's.

Where it reads `pagemap` by itself (before 4.0, or on kernels without `PAGEMAP_SCAN`) it takes the huge zero
page, which backs large anonymous mappings that were only read, for memory of the process.

With a parent it leaves out what the parent lists and what is not soft-dirty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.options import PreDumpMode
from engine.errors import TargetGone
from engine.images.framing import Magic, read_message
from engine.images.layout import INVENTORY, LinkKind
from engine.images.link import Link
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.rpc_pb2 import VM_READ
from engine.kernel.maps import Maps, VmaKind, read_maps
from engine.kernel.pagemap import Category, Pagemap, scan_knows
from engine.kernel.process import ProcessStat, child_processes, innermost_pid, read_stat
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.residency import PageReader
from engine.tracking.session import Session

_STOPPED: Final = "T"
_AIO_RING: Final = b"/[aio]"
_LARGE_BYTES: Final = 1 << 30


def would_write(
    session: Session,
    kind: LinkKind = LinkKind.DUMP,
    parent: Link | None = None,
    pre_dump_mode: PreDumpMode = PreDumpMode.SPLICE,
    criu: Criu | None = None,
) -> dict[int, int]:
    """How many pages of each process CRIU would write now; their sum is its `pages_written`.

    Exact if the tree is stopped, or does nothing; an estimate otherwise.

    Args:
        session: the target.
        kind: what would be made.
        parent: the link that it would build on.
        pre_dump_mode: how a pre-dump would take pages.
        criu: which one; None is one that uses all that this kernel has.

    Returns:
        Pages by pid. Shared memory, which CRIU counts apart, is not among them.

    Raises:
        TargetGone: the root has exited.
        BadImage: the parent cannot be read.
    """
    pages = pages_to_write(session, kind, parent, pre_dump_mode, criu)
    return {pid: written.count for pid, written in pages.items()}


def pages_to_write(
    session: Session,
    kind: LinkKind = LinkKind.DUMP,
    parent: Link | None = None,
    pre_dump_mode: PreDumpMode = PreDumpMode.SPLICE,
    criu: Criu | None = None,
) -> dict[int, PageSet]:
    """Which pages `would_write` counts, by pid. Arguments and errors as there."""
    chosen = choices(session, kind, parent, pre_dump_mode, criu)
    return {pid: choice.written for pid, choice in chosen.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What CRIU does with the pages of one process."""

    inner_pid: int
    """As the process knows itself: images are named by it."""
    written: PageSet
    left_to_parent: PageSet = EMPTY


def choices(
    session: Session,
    kind: LinkKind = LinkKind.DUMP,
    parent: Link | None = None,
    pre_dump_mode: PreDumpMode = PreDumpMode.SPLICE,
    criu: Criu | None = None,
) -> dict[int, Choice]:
    """What CRIU would do with the pages of each process, by pid. Arguments and errors as of `would_write`."""
    scans = criu.scans_pages if criu else scan_knows(Category.SOFT_DIRTY)
    link = _LinkToBe(kind, _Parent(parent) if parent else None, pre_dump_mode, scans)
    root = read_stat(session.root.pid)
    found: dict[int, Choice] = {}
    for stat in (root, *child_processes({root.pid})):
        try:
            found[stat.pid] = _of_process(stat, link)
        except TargetGone:
            if stat is root:
                raise
    return found


@dataclass(frozen=True, slots=True)
class _LinkToBe:
    kind: LinkKind
    parent: _Parent | None
    pre_dump_mode: PreDumpMode
    scans_pages: bool


class _Parent:
    """What CRIU asks of the link before."""

    def __init__(self, link: Link) -> None:
        inventory = read_message(link.path / INVENTORY, Magic.INVENTORY, InventoryEntry)
        self._pids = frozenset(link.pids)
        self._made_at_ticks = inventory.dump_uptime // (1_000_000 // os.sysconf("SC_CLK_TCK"))
        self.was_read = inventory.pre_dump_mode == VM_READ

    def knows(self, stat: ProcessStat) -> bool:
        """Whether it has the memory of this very process: one started later only has the same pid."""
        return innermost_pid(stat.pid) in self._pids and stat.start_ticks < self._made_at_ticks


def _of_process(stat: ProcessStat, link: _LinkToBe) -> Choice:
    is_dump = link.kind is LinkKind.DUMP
    inner_pid = innermost_pid(stat.pid)
    if not is_dump and stat.state == _STOPPED:
        return Choice(inner_pid, EMPTY)
    maps = read_maps(stat.pid)
    with PageReader(stat.pid) as reader:
        borrowed = _page_worked_in(maps)
        unreadable = maps.where([vma.is_private and not vma.is_readable for vma in maps.vmas])
        # What the kernel writes into these is not tracked, so they are saved whole, and only at the end.
        untracked = maps.where([vma.raw_name.startswith(_AIO_RING) for vma in maps.vmas])
        taken_for_memory, of_it_dirty = EMPTY, EMPTY
        if not link.scans_pages and scan_knows(Category.SOFT_DIRTY):
            # Where we read the plain file ourselves, they are among the pages in use anyway.
            taken_for_memory, of_it_dirty = _huge_zero_pages(reader.pagemap, maps)
        pages = reader.in_use(maps).dumpable | borrowed | taken_for_memory
        if is_dump:
            pages |= untracked
        else:
            pages -= maps.huge | untracked
            if link.pre_dump_mode is PreDumpMode.READ:
                pages -= unreadable
        if link.parent is None or not link.parent.knows(stat):
            return Choice(inner_pid, pages)
        never_left_out = borrowed | untracked | maps.huge
        if is_dump or link.parent.was_read:
            never_left_out |= unreadable
        dirty = reader.soft_dirty(maps).dirty
        written = pages & (dirty | of_it_dirty | never_left_out)
        return Choice(inner_pid, written, pages - written)


def _huge_zero_pages(pagemap: Pagemap, maps: Maps) -> tuple[PageSet, PageSet]:
    """Where the huge zero page is mapped, and where it is soft-dirty; but for very large mappings."""
    small = maps.anonymous & maps.where([vma.size_bytes < _LARGE_BYTES for vma in maps.vmas])
    wanted = Category.ZERO | Category.HUGE
    found = pagemap.scan(*maps.user_span, all_of=wanted, returned=Category.SOFT_DIRTY)
    return found.pages() & small, found.pages(with_all=Category.SOFT_DIRTY) & small


def _page_worked_in(maps: Maps) -> PageSet:
    """The page that CRIU's system calls are made from, if it is the process's own once written to."""
    for vma in maps.vmas:
        if "x" in vma.perms and vma.kind is not VmaKind.VSYSCALL:
            return PageSet.from_pages([vma.start >> PAGE_SHIFT]) if vma.is_private else EMPTY
    return EMPTY
