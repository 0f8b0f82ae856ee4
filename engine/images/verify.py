"""Checks whether a chain is sound: whether the memory at its end can be had, and is whole."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import BadImage
from engine.images.files import open_image
from engine.images.framing import Magic, read_message, read_messages
from engine.images.layout import (
    INVENTORY,
    PSTREE,
    LinkKind,
    core_name,
    mm_name,
    pagemap_name,
    pagemap_pid,
    pages_name,
)
from engine.images.link import Chain, Link
from engine.images.pagemap import Pagemap
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.mm_pb2 import MmEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.printable import printable

# Task states of criu (compel/include/uapi/task-state.h) in which there is no memory any more.
_WITHOUT_MEMORY: Final = (2, 6)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that makes a chain unsound."""

    path: Path
    """The link."""
    text: str
    """What is wrong with it: one line, printable, beginning with the file it is about."""


def verify(chain: Chain) -> tuple[Problem, ...]:
    """Everything that is wrong with a chain, oldest link first; empty if it is sound.

    Checked are, in each link: that every pagemap can be read, ascends, and has a pages file of just
    its size to itself, or with others of what is in common; that the parent lists each page
    left to it; that the statistics are those of the files. And in each dump: that the processes of its
    tree, and no others, have their memory, their mappings, which enclose that memory, and the registers
    of all their threads.
    """
    found: list[Problem] = []
    older: Link | None = None
    for link in chain.links:
        found += (Problem(link.path, text) for text in _link_problems(link, older))
        older = link
    return tuple(found)


def _link_problems(link: Link, parent: Link | None) -> Iterator[str]:
    if INVENTORY not in link.names:
        yield f"{INVENTORY} is missing"
    pagemaps: dict[str, Pagemap] = {}
    for name in link.pagemap_names:
        try:
            pagemaps[name] = link.pagemap_named(name)
        except BadImage as error:
            yield _text(error, link)
    yield from _pages_problems(link, pagemaps)
    for name, pagemap in pagemaps.items():
        yield from _hole_problems(name, pagemap, parent)
    if len(pagemaps) == len(link.pagemap_names):
        yield from _stats_problems(link, pagemaps)
    if link.kind is LinkKind.DUMP:
        try:
            yield from _tree_problems(link, pagemaps)
        except BadImage as error:
            yield _text(error, link)


def _text(error: BadImage, link: Link) -> str:
    return error.message.removeprefix(f"{printable(str(link.path))}{os.sep}")


def _pages_problems(link: Link, pagemaps: dict[str, Pagemap]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for name, pagemap in pagemaps.items():
        pages = pages_name(pagemap.pages_id)
        if pages in owners:
            if not link.is_part or pagemap.present != pagemaps[owners[pages]].present:
                yield f"{pages} is claimed both by {owners[pages]} and by {name}"
            continue
        owners[pages] = name
        try:
            with open_image(link.path / pages) as fd:
                size_bytes = os.fstat(fd).st_size
        except BadImage as error:
            yield _text(error, link)
            continue
        if size_bytes != pagemap.present.size_bytes:
            yield f"{pages} has {size_bytes} bytes; {name} says {pagemap.present.size_bytes}"
    if len(pagemaps) == len(link.pagemap_names):
        for pages in link.pages_names:
            if pages not in owners:
                yield f"{pages} belongs to no pagemap"


def _hole_problems(name: str, pagemap: Pagemap, parent: Link | None) -> Iterator[str]:
    promised = pagemap.covered - pagemap.present - pagemap.in_parent
    if promised:
        yield f"{name}: pages left to a server of lazy pages: {_pages(promised)}"
    holes = pagemap.in_parent
    if not holes:
        return
    if parent is None:
        yield f"{name}: pages left to the parent, and there is no parent: {_pages(holes)}"
    elif name not in parent.names:
        yield f"{name}: pages left to the parent, which has no {name}: {_pages(holes)}"
    else:
        try:
            listed = parent.pagemap_named(name).covered
        except BadImage:
            # That is told of the parent itself.
            return
        lost = holes - listed
        if lost:
            yield f"{name}: pages left to the parent, which does not list them: {_pages(lost)}"


def _pages(pages: PageSet) -> str:
    return f"{pages.count}, the first at {int(pages.starts[0]) << PAGE_SHIFT:#x}"


def _stats_problems(link: Link, pagemaps: dict[str, Pagemap]) -> Iterator[str]:
    if link.stats is None:
        yield "stats-dump tells of no dump"
        return
    for of_process, label, written, in_parent in (
        (True, "", link.stats.pages_written, link.stats.pages_skipped_parent),
        (False, " of shared memory", link.stats.shpages_written, link.stats.shpages_skipped_parent),
    ):
        listed = [
            pagemap for name, pagemap in pagemaps.items() if (pagemap_pid(name) is not None) is of_process
        ]
        # Of what is in common several list the same pages, in one file.
        present = sum({pagemap.pages_id: pagemap.present.count for pagemap in listed}.values())
        holes = sum(pagemap.in_parent.count for pagemap in listed)
        if written != present:
            yield f"stats-dump says {written} pages{label} were written; the pagemaps list {present}"
        if in_parent != holes:
            yield f"stats-dump says {in_parent} pages{label} are in the parent; the pagemaps list {holes}"


def _tree_problems(link: Link, pagemaps: dict[str, Pagemap]) -> Iterator[str]:
    tasks = read_messages(link.path / PSTREE, Magic.PSTREE, PstreeEntry)
    if not tasks:
        yield f"{PSTREE} names no process"
    pids = {task.pid for task in tasks}
    for name in link.pagemap_names:
        pid = pagemap_pid(name)
        if pid is not None and pid not in pids:
            yield f"{name}: process {pid} is not in {PSTREE}"
    for task in tasks:
        if task.ppid and task.ppid not in pids:
            yield f"{PSTREE}: process {task.ppid}, the parent of {task.pid}, is not in it"
        yield from _task_problems(link, task, pagemaps.get(pagemap_name(task.pid)))


def _task_problems(link: Link, task: PstreeEntry, pagemap: Pagemap | None) -> Iterator[str]:
    leader = yield from _registers(link, task.pid)
    if leader is not None and not leader.HasField("tc"):
        yield f"{core_name(task.pid)} does not say what state process {task.pid} was in"
    # What CRIU writes for the threads of a zombie are numbers of no meaning.
    if leader is not None and leader.tc.task_state in _WITHOUT_MEMORY:
        return
    for tid in task.threads:
        if tid != task.pid:
            yield from _registers(link, tid)
    if pagemap_name(task.pid) not in link.names:
        yield f"{pagemap_name(task.pid)} is missing, and process {task.pid} was alive"
    try:
        mm = read_message(link.path / mm_name(task.pid), Magic.MM, MmEntry)
    except BadImage as error:
        yield _text(error, link)
        return
    outside = (pagemap.covered if pagemap else EMPTY) - _mapped(mm)
    if outside:
        yield f"{pagemap_name(task.pid)}: pages in no mapping of {mm_name(task.pid)}: {_pages(outside)}"


def _registers(link: Link, tid: int) -> Generator[str, None, CoreEntry | None]:
    """Yields what is wrong with a thread's image, and returns what it says."""
    try:
        return read_message(link.path / core_name(tid), Magic.CORE, CoreEntry)
    except BadImage as error:
        yield _text(error, link)
        return None


def _mapped(mm: MmEntry) -> PageSet:
    # The address of [vsyscall] needs 64 bits; its page number fits a signed one.
    starts = np.fromiter((vma.start for vma in mm.vmas), np.uint64, len(mm.vmas))
    ends = np.fromiter((vma.end for vma in mm.vmas), np.uint64, len(mm.vmas))
    return PageSet.from_addresses(starts, ends)
