"""Which pages of a dumped process a restore has to bring in at once (criu/include/vma.h, criu/mem.c)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.images.framing import Magic, read_message, read_messages
from engine.images.layout import PSTREE, core_name
from engine.images.mappings import read_mappings
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.pageset import PAGE_SHIFT, PageSet

_MAP_LOCKED: Final = 0x2000


def never_lazy_pages(directory: Path, pid: int) -> PageSet:
    """The pages of locked mappings, and that which the stack pointer of each thread is in.

    Args:
        directory: a dump's images.
        pid: a process, as it knows itself.

    Raises:
        BadImage: an image is missing or damaged.
    """
    locked = [vma for vmas in read_mappings(directory, pid) for vma in vmas if vma.flags & _MAP_LOCKED]
    processes = read_messages(directory / PSTREE, Magic.PSTREE, PstreeEntry)
    threads = [thread for process in processes if process.pid == pid for thread in process.threads]
    stacks = [
        _stack_pointer(read_message(directory / core_name(thread), Magic.CORE, CoreEntry)) >> PAGE_SHIFT
        for thread in threads
    ]
    return PageSet.from_pages(stacks) | PageSet.from_addresses(
        [vma.start for vma in locked], [vma.end for vma in locked]
    )


def _stack_pointer(core: CoreEntry) -> int:
    if core.HasField("ti_aarch64"):
        return core.ti_aarch64.gpregs.sp
    return core.thread_info.gpregs.sp
