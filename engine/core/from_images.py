"""Reads out of a chain what a core tells of its processes.

A dump of ours has nearly all of it in `dirtytop-PID.debug`. Of CRIU's dumps it is put together from the
images that a restore needs. A pre-dump has memory alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from engine.core.process import DEFAULT_FILTER, CoreMapping, CoreProcess, CoreThread
from engine.core.registers import Sets, architecture, for_debuggers, register_sets
from engine.errors import BadImage
from engine.images.framing import Magic, read_message, read_messages
from engine.images.layout import PSTREE, LinkKind, core_name, debug_name, mm_name
from engine.images.link import ImageChain, Link
from engine.images.mappings import read_mappings
from engine.images.memory import ChainMemory
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.debug_pb2 import DebugEntry, DebugProcess, DebugThread
from engine.images.proto.files_pb2 import FileEntry, MemfdInodeEntry
from engine.images.proto.mm_pb2 import MmEntry, VmaEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.kernel.libc import MACHINE
from engine.pageset import PAGE_SHIFT, PAGE_SIZE
from engine.printable import printable

_ALIVE: Final = 1
_STATES: Final = {_ALIVE: "R", 3: "T"}
"""Task states of criu that have memory (compel/include/uapi/task-state.h)."""
_FILES: Final = "files.img"
_MEMFDS: Final = "memfd.img"
_FILTERS: Final = 0xFF
_MOST_OFFSET: Final = 1 << 63
TORN: Final = (
    "torn: made of a pre-dump, whose memory was copied while the process ran; there are no registers, and "
    "pages may be from different moments"
)
_NO_NAMES: Final = "the link was made by an older dirtytop: it does not say which files were mapped"

# criu/include/image.h
_VSYSCALL, _VDSO, _VVAR = 1 << 2, 1 << 3, 1 << 12
_FILE_PRIVATE, _FILE_SHARED, _ANON_SHARED = 1 << 6, 1 << 7, 1 << 8
_SYSV, _MEMFD, _GUARD = 1 << 10, 1 << 14, 1 << 16
_MAP_SHARED, _MAP_HUGETLB = 0x1, 0x40000
_DONT_DUMP = 1 << 16  # of MADV_DONTDUMP


@dataclass(frozen=True, slots=True)
class Described:
    """The processes of a link, and what they ran on."""

    machine: str
    """By the kernel's name of the architecture."""
    processes: tuple[CoreProcess, ...]
    """The root first."""


def describe(chain: ImageChain) -> Described:
    """What the last link of a chain tells of its processes.

    Raises:
        BadImage: an image is missing or damaged.
        UnknownFormat: an image is newer than what we understand.
        NotSupported: they are of an architecture that we make no cores for.
    """
    link = chain.links[-1]
    if link.kind is LinkKind.PRE_DUMP:
        return Described(MACHINE, tuple(_of_pre_dump(chain, pid) for pid in link.pids))
    files = _Files(link)
    described = [
        _of_dump(link, task, files) for task in read_messages(link.path / PSTREE, Magic.PSTREE, PstreeEntry)
    ]
    found = [one for one in described if one is not None]
    if not found:
        raise BadImage(f"{printable(str(link.path))}: no process in it has memory")
    return Described(found[0][0], tuple(process for _, process in found))


def _of_pre_dump(chain: ImageChain, pid: int) -> CoreProcess:
    """What a pre-dump of ours tells of a process; of CRIU's, which pages there are."""
    beside, _ = _debug(chain.links[-1], pid)
    if beside is not None:
        return CoreProcess(
            pid=pid,
            command=beside.comm,
            arguments=(beside.arg_start, beside.arg_end),
            auxv=beside.auxv,
            coredump_filter=_filter(beside),
            mappings=tuple(_ascending(_known_mappings(beside), chain.links[-1].path / debug_name(pid))),
            remarks=(TORN,),
        )
    pages = ChainMemory(chain, pid).pages
    mappings = tuple(
        CoreMapping(first << PAGE_SHIFT, end << PAGE_SHIFT, protection=7, is_shared=False)
        for first, end in pages.ranges()
    )
    return CoreProcess(pid=pid, mappings=mappings, remarks=(TORN,))


def _of_dump(link: Link, task: PstreeEntry, files: _Files) -> tuple[str, CoreProcess] | None:
    """The architecture and the process; None of one without memory, as a zombie is."""
    tids = list(dict.fromkeys(task.threads))
    images = {
        tid: read_message(link.path / core_name(tid), Magic.CORE, CoreEntry)
        for tid in tids
        if core_name(tid) in link.names
    }
    leader = images.get(task.pid)
    if leader is not None and leader.tc.task_state not in _STATES:
        return None
    if not images:
        raise BadImage(f"{printable(str(link.path))}: no thread of process {task.pid} has registers")
    any_thread = leader or next(iter(images.values()))
    mm = read_message(link.path / mm_name(task.pid), Magic.MM, MmEntry)
    beside, of_threads = _debug(link, task.pid)
    if beside is not None:
        mappings = tuple(_ascending(_known_mappings(beside), link.path / debug_name(task.pid)))
        remarks: tuple[str, ...] = ()
    else:
        mappings = tuple(_ascending(_mappings(link, task.pid, files), link.path / mm_name(task.pid)))
        remarks = () if link.restorable else (_NO_NAMES,)
    creds = any_thread.thread_core.creds
    process = CoreProcess(
        pid=task.pid,
        parent_pid=task.ppid,
        process_group=task.pgid,
        session=task.sid,
        state=_STATES.get(any_thread.tc.task_state, "R"),
        flags=any_thread.tc.flags,
        nice=any_thread.thread_core.sched_nice,
        uid=creds.uid,
        gid=creds.gid,
        command=beside.comm if beside is not None else any_thread.tc.comm.encode(),
        arguments=(mm.mm_arg_start, mm.mm_arg_end),
        auxv=struct.pack(f"<{len(mm.mm_saved_auxv)}Q", *mm.mm_saved_auxv),
        coredump_filter=_filter(beside),
        mappings=mappings,
        threads=tuple(_thread(tid, image, of_threads.get(tid)) for tid, image in images.items()),
        remarks=remarks,
    )
    return architecture(any_thread), process


def _ascending(mappings: Iterable[CoreMapping], image: Path) -> Iterator[CoreMapping]:
    """The same mappings. Raises BadImage if they are not such as there can be."""
    before = 0
    for mapping in mappings:
        bounds = mapping.start | mapping.end | mapping.offset
        if bounds % PAGE_SIZE or not before <= mapping.start < mapping.end or mapping.offset >= _MOST_OFFSET:
            where = f"{mapping.start:#x} to {mapping.end:#x}"
            raise BadImage(f"{printable(str(image))}: a mapping from {where} cannot be there")
        before = mapping.end
        yield mapping


def _filter(beside: DebugProcess | None) -> int:
    known = beside is not None and beside.coredump_filter <= _FILTERS
    return beside.coredump_filter if beside is not None and known else DEFAULT_FILTER


def _thread(tid: int, image: CoreEntry, beside: DebugThread | None) -> CoreThread:
    blocked = image.thread_core.blk_sigset or image.tc.blk_sigset
    if beside is None:
        return CoreThread(tid, register_sets(image), blocked_signals=blocked)
    sets: Sets = tuple((one.type, one.data) for one in beside.sets)
    return CoreThread(
        tid,
        for_debuggers(sets) or register_sets(image),
        blocked_signals=blocked,
        siginfo=beside.siginfo,
        user_us=beside.user_us,
        system_us=beside.system_us,
    )


def _debug(link: Link, pid: int) -> tuple[DebugProcess | None, dict[int, DebugThread]]:
    """What we have kept beside the images of a process: of itself, and of its threads."""
    if debug_name(pid) not in link.names:
        return None, {}
    entries = read_messages(link.path / debug_name(pid), Magic.DEBUG, DebugEntry)
    if not entries or not entries[0].HasField("process"):
        raise BadImage(f"{printable(str(link.path / debug_name(pid)))} does not begin with a process")
    return entries[0].process, {
        entry.thread.tid: entry.thread for entry in entries[1:] if entry.HasField("thread")
    }


def _known_mappings(beside: DebugProcess) -> Iterator[CoreMapping]:
    for one in beside.mappings:
        name = beside.names[one.name] if one.name < len(beside.names) else b""
        yield CoreMapping(
            start=one.start,
            end=one.end,
            protection=one.prot,
            is_shared=one.shared,
            offset=one.offset,
            name=name if name.startswith(b"/") else b"",
            inode=one.inode,
            is_kernels_own=name in (b"[vdso]", b"[vvar]", b"[vvar_vclock]", b"[vsyscall]"),
            is_left_out=one.dont_dump,
            is_huge=one.huge_pages,
            is_device=one.device,
        )


class _Files:
    """What CRIU's images say of mapped files, by the number that a mapping has of them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @cached_property
    def _entries(self) -> dict[int, FileEntry]:
        if _FILES not in self._link.names:
            return {}
        found = read_messages(self._link.path / _FILES, Magic.FILES, FileEntry)
        return {entry.id: entry for entry in found}

    @cached_property
    def _memfds(self) -> dict[int, MemfdInodeEntry]:
        if _MEMFDS not in self._link.names:
            return {}
        found = read_messages(self._link.path / _MEMFDS, Magic.MEMFD_INODE, MemfdInodeEntry)
        return {entry.inode_id: entry for entry in found}

    def of(self, number: int) -> tuple[bytes, int | None]:
        """Its name, empty if not known, and its size."""
        entry = self._entries.get(number)
        if entry is None or not entry.HasField("reg"):
            return b"", None
        return entry.reg.name.encode(), entry.reg.size if entry.reg.HasField("size") else None

    def memfd(self, number: int) -> tuple[bytes, str]:
        """The name of a memfd, and the pagemap of its memory."""
        entry = self._entries.get(number)
        inode = self._memfds.get(entry.memfd.inode_id) if entry is not None else None
        if inode is None:
            return b"/memfd: (deleted)", ""
        name = inode.name if inode.name.startswith("/") else f"/memfd:{inode.name}"
        return f"{name.removesuffix(' (deleted)')} (deleted)".encode(), _shmem(inode.shmid)


def _shmem(number: int) -> str:
    return f"pagemap-shmem-{number}.img"


def _mappings(link: Link, pid: int, files: _Files) -> Iterator[CoreMapping]:
    """Those that CRIU's image tells of."""
    for piece in read_mappings(link.path, pid):
        for vma in piece:
            if vma.status & _GUARD:  # no mapping, but a mark within one
                continue
            yield _mapping(link, vma, files)


def _mapping(link: Link, vma: VmaEntry, files: _Files) -> CoreMapping:
    name, size_bytes, memory = b"", None, ""
    if vma.status & _MEMFD:
        name, memory = files.memfd(vma.shmid)
    elif vma.status & _ANON_SHARED:
        name, memory = b"/SYSV (deleted)" if vma.status & _SYSV else b"/dev/zero (deleted)", _shmem(vma.shmid)
    elif vma.status & (_FILE_PRIVATE | _FILE_SHARED):
        name, size_bytes = files.of(vma.shmid)
    return CoreMapping(
        start=vma.start,
        end=vma.end,
        protection=vma.prot,
        is_shared=bool(vma.flags & _MAP_SHARED),
        offset=vma.pgoff,
        name=name,
        size_bytes=size_bytes,
        object_name=memory if memory in link.names else "",
        is_kernels_own=bool(vma.status & (_VDSO | _VVAR | _VSYSCALL)),
        is_left_out=bool(vma.madv & _DONT_DUMP),
        is_huge=bool(vma.flags & _MAP_HUGETLB),
    )
