"""What a dump says of its processes, and whether it says all that it must."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Final

import numpy as np

from engine.errors import BadImage, UnknownFormat
from engine.images import limits
from engine.images.framing import Magic, read_message, read_messages
from engine.images.layout import PSTREE, core_name, pagemap_name, pagemap_pid
from engine.images.link import Link
from engine.images.mappings import read_mappings
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.pageset import PageSet
from engine.printable import printable

# Task states of criu (compel/include/uapi/task-state.h) in which there is no memory any more.
_WITHOUT_MEMORY: Final = (2, 6)


def tree_problems(link: Link) -> Iterator[str]:
    """Everything that is wrong with what a dump says of its processes, but for their memory and mappings.

    Raises:
        UnknownFormat: an image is newer than what we understand.
    """
    try:
        tasks = read_messages(link.path / PSTREE, Magic.PSTREE, PstreeEntry)
    except BadImage as error:
        yield damage(error, link)
        return
    if not tasks:
        yield f"{PSTREE} names no process"
    pids = {task.pid for task in tasks}
    for name in link.pagemap_names:
        pid = pagemap_pid(name)
        if pid is not None and pid not in pids:
            yield f"{name}: process {pid} is not in {PSTREE}"
    if sum(len(task.threads) for task in tasks) > limits.LINK_FILES:
        yield f"{PSTREE} names more threads than a link has files"
        return
    seen: set[int] = set()
    for task in tasks:
        if task.pid in seen:
            yield f"{PSTREE} names process {task.pid} twice"
            continue
        seen.add(task.pid)
        if task.ppid and task.ppid not in pids:
            yield f"{PSTREE}: process {task.ppid}, the parent of {task.pid}, is not in it"
        yield from _task_problems(link, task)


def mapped_pages(link: Link, pid: int) -> PageSet:
    """The pages of a dumped process's mappings.

    Raises:
        BadImage: the image of them is missing or damaged.
    """
    parts = [
        PageSet.from_addresses(
            # The address of [vsyscall] needs 64 bits; its page number fits a signed one.
            np.fromiter((vma.start for vma in vmas), np.uint64, len(vmas)),
            np.fromiter((vma.end for vma in vmas), np.uint64, len(vmas)),
        )
        for vmas in read_mappings(link.path, pid)
    ]
    return PageSet.union_all(parts)


def _task_problems(link: Link, task: PstreeEntry) -> Iterator[str]:
    # One whose first thread has ended before the others is saved without it.
    has_leader = core_name(task.pid) in link.names or not task.threads or task.pid in task.threads
    leader = (yield from _registers(link, task.pid)) if has_leader else None
    if leader is not None and not leader.HasField("tc"):
        yield f"{core_name(task.pid)} does not say what state process {task.pid} was in"
    # What CRIU writes for the threads of a zombie are numbers of no meaning.
    if leader is not None and leader.tc.task_state in _WITHOUT_MEMORY:
        return
    for tid in dict.fromkeys(task.threads):
        if tid != task.pid:
            yield from _registers(link, tid)
    if pagemap_name(task.pid) in link.names:
        return  # its mappings are looked at with that
    yield f"{pagemap_name(task.pid)} is missing, and process {task.pid} was alive"
    try:
        mapped_pages(link, task.pid)
    except BadImage as error:
        yield damage(error, link)


def _registers(link: Link, tid: int) -> Generator[str, None, CoreEntry | None]:
    """Yields what is wrong with a thread's image, and returns what it says."""
    try:
        return read_message(link.path / core_name(tid), Magic.CORE, CoreEntry)
    except BadImage as error:
        yield damage(error, link)
        return None


def damage(error: BadImage, link: Link) -> str:
    """What an error says of a file of a link, without the directory.

    Raises:
        UnknownFormat: if that is what it is, for that is no damage.
    """
    if isinstance(error, UnknownFormat):
        raise error
    return error.message.removeprefix(f"{printable(str(link.path))}{os.sep}")
