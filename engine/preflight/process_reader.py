"""Reads one process, once, into `facts.Process`.

A thread or descriptor that comes or goes meanwhile is left out; a process that has exited is an error.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from engine.errors import NotPermitted, TargetGone, kernel_errors
from engine.kernel.descriptors import OpenFile, open_by_path, read_open_files
from engine.kernel.kcmp import Shared, share
from engine.kernel.libc import MACHINE, system_call
from engine.kernel.maps import SYSV, Vma, parse_line, read_maps
from engine.kernel.pagemap import Category, Pagemap, scan_knows
from engine.kernel.process import ProcessStat, read_status, thread_ids
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.preflight.facts import Process, Thread
from engine.printable import printable

NAMESPACES: Final = ("pid", "net", "ipc", "uts", "time", "time_for_children", "mnt", "user", "cgroup")
"""In the order in which CRIU looks at them (criu/namespaces.c, dump_task_ns_ids)."""
_OF_THREADS: Final = ("net", "ipc", "uts", "mnt")
_LINKS: Final = (("its program", "exe"), ("its working directory", "cwd"), ("its root", "root"))
_SYS_IOPRIO_GET: Final = {"x86_64": 252, "aarch64": 31}.get(MACHINE, -1)
_IOPRIO_WHO_PROCESS: Final = 1
_IO_CLASS_BITS: Final = 13
_BEYOND: Final = b"[vsyscall]"
"""A mapping that is in nobody's memory."""
_SETTINGS: Final = {
    "its timer slack": "timerslack_ns",
    "what its core dumps hold": "coredump_filter",
    "its personality": "personality",
}
"""What has a file in `/proc`, and no place in CRIU's images."""
_NO_SLACK: Final = ("its timer slack", b"0")
"""What the kernel says of every thread that is scheduled in real time."""
_UNINTERRUPTIBLE: Final = "D"
_LOOK_AGAIN_S: Final = 0.05
_SAME_IF_STUCK: Final = ("State", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
_UNCONFINED: Final = (b"", b"unconfined", b"kernel")
_MANY_THREADS: Final = 1000
"""Of threads beyond these it is not asked which namespaces they are in."""
_NO_FILE: Final = (
    b"/memfd:",
    b"/dev/zero",
    SYSV,
    b"/anon_hugepage",
    b"/[aio]",
    b"/secretmem",
    b"/dmabuf:",
)


def read_namespaces(path: str) -> dict[str, int]:
    """The namespaces under a directory of `/proc`, as in "/proc/12", by name."""
    found = {}
    for name in NAMESPACES:
        with suppress(OSError):  # a kernel without it
            found[name] = os.stat(f"{path}/ns/{name}").st_ino
    return found


def read_process(
    stat: ProcessStat, parent: int | None, not_asked: Collection[int], root: bytes, *, wants_guards: bool
) -> Process:
    """One process.

    Args:
        stat: which.
        parent: its parent, if that is in the tree.
        not_asked: ids of mounts whose files are not looked at.
        root: what leads to the root of its mounts; nothing if that is our own.
        wants_guards: whether guard regions are looked for.

    Raises:
        TargetGone: it has exited.
    """
    pid = stat.pid
    namespaces = read_namespaces(f"/proc/{pid}")
    threads = tuple(_thread(pid, tid, at) for at, tid in enumerate(sorted(thread_ids(pid), key=pid.__ne__)))
    if stat.is_dead or stat.lacks_leader:
        return Process(stat, threads, namespaces=namespaces)
    try:
        lines = _map_lines(pid)
    except NotPermitted:
        return Process(stat, threads, namespaces=namespaces, is_readable=False)
    vmas = tuple(parse_line(line) for line in lines if b"/" in line or b"[" in line)
    shared = {what: parent is not None and share(parent, pid, what) for what in Shared}
    return Process(
        stat=stat,
        threads=threads,
        files=() if shared[Shared.DESCRIPTORS] else read_open_files(pid, not_asked, root),
        held=(*_links(pid, root), *_mapped_files(pid, vmas, root)),
        vmas=vmas,
        guarded=_guarded(pid, lines) if wants_guards else EMPTY,
        namespaces=namespaces,
        shares_memory=shared[Shared.MEMORY],
        shares_directories=shared[Shared.DIRECTORIES],
        hides_limits=_hides_limits(pid),
        settings=_settings(pid, threads),
        label=_label(pid),
        proc_pid=_proc_pid(pid, namespaces),
    )


def _thread(pid: int, tid: int, at: int) -> Thread:
    try:
        status = read_status(pid, tid)
    except TargetGone:  # it has just ended
        return Thread(tid)
    namespaces = {}
    if 0 < at < _MANY_THREADS:
        for name in _OF_THREADS:
            with suppress(OSError):
                namespaces[name] = os.stat(f"/proc/{pid}/task/{tid}/ns/{name}").st_ino
    priority = 0
    with suppress(OSError):
        priority = system_call(_SYS_IOPRIO_GET, _IOPRIO_WHO_PROCESS, tid)
    return Thread(tid, status, namespaces, priority)


def _links(pid: int, root: bytes) -> Iterator[tuple[str, OpenFile]]:
    for what, name in _LINKS:
        found = open_by_path(pid, name, root=root)
        if found is not None:
            yield what, found


def _mapped_files(pid: int, vmas: Iterable[Vma], root: bytes) -> Iterator[tuple[str, OpenFile]]:
    """Each file that is mapped, once."""
    seen = set()
    for vma in vmas:
        if not vma.inode or not vma.raw_name.startswith(b"/") or vma.raw_name.startswith(_NO_FILE):
            continue
        if (vma.device, vma.inode) in seen:
            continue
        seen.add((vma.device, vma.inode))
        found = open_by_path(pid, f"map_files/{vma.start:x}-{vma.end:x}", vma.raw_name, root)
        if found is not None:
            yield "a mapped file", found


def _map_lines(pid: int) -> list[bytes]:
    """The lines of its map. Most are of nothing, and not worth parsing: there may be tens of thousands.

    Raises:
        TargetGone: the process has exited.
        NotPermitted: its map is not ours to read.
    """
    with kernel_errors(pid, "read its memory map"), open(f"/proc/{pid}/maps", "rb", 0) as file:
        return [line for line in (file.readall() or b"").split(b"\n") if line]


def _guarded(pid: int, lines: list[bytes]) -> PageSet:
    """Guard regions in private mappings; none where the kernel cannot tell (before 6.15)."""
    own = [line for line in lines if not line.endswith(_BEYOND)]
    if not own or not scan_knows(Category.GUARD):
        return EMPTY
    first, end = parse_line(own[0]).start, parse_line(own[-1]).end
    with Pagemap(pid) as pagemap:
        found = pagemap.scan(first >> PAGE_SHIFT, end >> PAGE_SHIFT, any_of=Category.GUARD).pages()
    return found & read_maps(pid).private if found else EMPTY


def _hides_limits(pid: int) -> bool:
    try:
        resource.prlimit(pid, resource.RLIMIT_CORE)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def _settings(pid: int, threads: Iterable[Thread]) -> dict[str, str]:
    """What a restore would not set, where it is not as ours, which who restores has."""
    found = {}
    cpus = read_status(os.getpid()).get("Cpus_allowed_list", "")
    bound = {thread.status.get("Cpus_allowed_list", cpus) for thread in threads} - {cpus}
    if bound:
        found["its CPU affinity"] = printable(min(bound))
    priorities = {thread.io_priority for thread in threads} - {0}
    if priorities:
        kind, level = divmod(min(priorities), 1 << _IO_CLASS_BITS)
        found["its I/O priority"] = f"class {kind}, level {level}"
    for what, name in _SETTINGS.items():
        theirs, ours = _read(pid, name), _read(os.getpid(), name)
        if theirs and ours and theirs != ours and (what, theirs) != _NO_SLACK:
            found[what] = printable(theirs)
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb", 0) as file:
            return (file.read() or b"").strip()
    except OSError:  # it has exited, this kernel has no such file, or it is not ours to read
        return b""


def _label(pid: int) -> str:
    """The profile that a security module has it under, if that restricts it."""
    label = _read(pid, "attr/current").rstrip(b"\0")
    return "" if label in _UNCONFINED or b"unconfined" in label else printable(label)


def _proc_pid(pid: int, namespaces: Mapping[str, int]) -> str:
    """See `Process.proc_pid`; only asked of processes that are in other namespaces than we are."""
    if namespaces.get("pid") == os.stat("/proc/self/ns/pid").st_ino:
        return ""
    try:
        return os.readlink(f"/proc/{pid}/root/proc/self")
    except OSError:  # there is no /proc, or not one that we are in
        return ""


def stuck_threads(processes: Iterable[Process]) -> dict[int, tuple[int, ...]]:
    """Threads that wait in the kernel, and have not run since they were read, by process."""
    waiting = [
        (process.pid, thread)
        for process in processes
        for thread in process.threads
        if thread.status.get("State", "").startswith(_UNINTERRUPTIBLE)
    ]
    if not waiting:
        return {}
    time.sleep(_LOOK_AGAIN_S)
    found: dict[int, tuple[int, ...]] = {}
    for pid, thread in waiting:
        try:
            now = read_status(pid, thread.tid)
        except TargetGone:
            continue
        if all(now.get(name) == thread.status.get(name) for name in _SAME_IF_STUCK):
            found[pid] = (*found.get(pid, ()), thread.tid)
    return found
