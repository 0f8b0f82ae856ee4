"""What is mapped, except files and devices: guard regions, kernel objects, System V and shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.kernel.maps import SYSV
from engine.pageset import PAGE_SHIFT
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree
from engine.preflight.finding import Seen
from engine.preflight.rules import files
from engine.preflight.rules import processes as rules

_ANONYMOUS: Final = b"anon_inode:"
_IO_URING: Final = b"anon_inode:[io_uring]"
_SECRET: Final = b"/secretmem"
_DMA_BUFFER: Final = b"/dmabuf:"
_UPROBES: Final = b"[uprobes]"
_FEATURES: Final = "x86_Thread_features"


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the mappings of this process."""
    pid = process.pid
    for first, _ in process.guarded.ranges():
        yield Seen(rules.GUARD_REGION, pid, f"at {first << PAGE_SHIFT:x}")
    for vma in process.vmas:
        name = vma.raw_name
        # The inode of System V's first memory is 0, as that of what is mapped from nowhere.
        if not name or not (vma.inode or name == _UPROBES or name.startswith(SYSV)):
            continue
        where = f"mapping {vma.start:x}"
        if name.startswith(_IO_URING):
            yield Seen(files.IO_URING, pid, where)
        elif name.startswith((_ANONYMOUS, _DMA_BUFFER)):
            yield Seen(rules.KERNEL_MAPPING, pid, where, vma.name)
        elif name.startswith(_SECRET):
            yield Seen(files.SECRET_MEMORY, pid, where)
        elif name.startswith(SYSV) and not tree.is_own("ipc"):
            yield Seen(rules.SYSV_MEMORY, pid, where, vma.name)
        elif name == _UPROBES:
            yield Seen(rules.UPROBES, pid, where)
            yield Seen(rules.UPROBES_ALLOWED, pid, where)
        elif not vma.is_private and (vma.device, vma.inode) in tree.shared_outside:
            yield Seen(rules.SHARED_OUTSIDE, pid, where, tree.shared_outside[vma.device, vma.inode])
    if "shstk" in process.leader.status.get(_FEATURES, "").split():
        yield Seen(rules.SHADOW_STACK, pid, "")
