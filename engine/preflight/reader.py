"""Reads a tree once, without touching it: all the facts that the modules which judge it need."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.errors import DirtytopError, KernelThread, TargetGone
from engine.kernel.descriptors import OpenFile
from engine.kernel.kcmp import Shared, share
from engine.kernel.mountinfo import Mount, read_mounts
from engine.kernel.process import ProcessStat, read_stat, read_status, require_same
from engine.kernel.sock_diag import LISTENING, Socket, read_sockets
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Kernel, Process, Tree, Us
from engine.preflight.outside import look_outside
from engine.preflight.process_reader import read_namespaces, read_process, stuck_threads
from engine.preflight.watches import lost_epoll_targets, lost_file_watches

_GUARDS_SAVED_BY: Final = (4, 2, 0)
_NS_GET_USERNS: Final = 0xB701
_OWNED: Final = ("net", "uts", "time", "ipc", "mnt")
_LOOK_AGAIN_S: Final = 0.03
_HUGE_PAGES: Final = Path("/sys/kernel/mm/hugepages")
_HUGE_COUNTS: Final = ("free_hugepages", "resv_hugepages", "surplus_hugepages", "nr_overcommit_hugepages")
_IPV6: Final = Path("/proc/sys/net/ipv6")
_SUPER_PATH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def read_tree(pid: int, dumper: Dumper) -> Tree:
    """The root and its descendants, and what they have to do with the machine.

    Args:
        pid: the root.
        dumper: whose rules the facts are for; what no rule of its asks for is not read.

    Raises:
        TargetGone: the root has exited.
        KernelThread: it has no memory of its own.
    """
    root = _require_program(pid)
    us = Us(read_namespaces("/proc/self"), int(read_status(os.getpid()).get("Seccomp", "0")))
    not_asked = _served_by_others(pid)
    stats = list(_descend(root))
    tree = {stat.pid for stat in stats}
    wants_guards = dumper.version < _GUARDS_SAVED_BY
    processes: list[Process] = []
    for stat in stats:
        parent = stat.parent_pid if stat.pid != pid and stat.parent_pid in tree else None
        try:
            mounted = _root_of(stat, pid, us)
            processes.append(read_process(stat, parent, not_asked, mounted, wants_guards=wants_guards))
        except TargetGone:
            if stat.pid == pid:
                raise
    if not root.is_dead:
        require_same(root.identity)
    processes = _without_what_passes(processes)
    mounts = _mounts(processes, us)
    stuck = stuck_threads(processes)
    completed = tuple(_with_watches(processes, mounts, us, stuck))
    leads = root.session == root.pid
    kernel = replace(_kernel(), free_huge_pages=_free_huge_pages())
    outside = look_outside(
        frozenset(tree),
        root.session if leads else 0,
        (vma for process in completed for vma in process.vmas),
        kernel.memory_device,
    )
    users, groups = _id_map(pid, "uid_map"), _id_map(pid, "gid_map")
    found = Tree(
        processes=completed,
        us=us,
        kernel=kernel,
        mounts=mounts,
        owners=_owners(pid),
        shared_outside=outside.shared,
        left_behind=outside.session,
    )
    if found.is_own("user"):
        maps_root = 0 in users and 0 in groups
        found = replace(found, maps_root=maps_root, mapped_root=(users[0], groups[0]) if maps_root else None)
    return replace(found, sockets=_sockets(found))


def _root_of(stat: ProcessStat, root_pid: int, us: Us) -> bytes:
    """What leads to the root of the mounts that a process sees; nothing where that is our own."""
    try:
        namespace = os.stat(f"/proc/{stat.pid}/ns/mnt").st_ino
        if namespace == us.namespaces.get("mnt"):
            return b""
        of_root = os.stat(f"/proc/{root_pid}/ns/mnt").st_ino
    except OSError:  # not ours to look into, or just gone: then nothing of it is read anyway
        return b""
    return b"/proc/%d/root" % (root_pid if namespace == of_root else stat.pid)


def _require_program(pid: int) -> ProcessStat:
    """A process that has memory, or threads that do. Errors as of `read_tree`."""
    stat = read_stat(pid)
    if stat.is_kernel_thread:
        raise KernelThread(f"process {pid} ({stat.command}) is a kernel thread: it has no memory", pid=pid)
    if stat.is_dead:
        raise TargetGone(f"process {pid} ({stat.command}) has exited: it is a zombie", pid=pid)
    return stat


def _without_what_passes(processes: list[Process]) -> list[Process]:
    """A child that is about to start a program shares its parent's memory until then (vfork), and a process
    that is about to end may have lost its first thread: what is so a moment later is so.
    """
    if not any(process.shares_memory or process.stat.lacks_leader for process in processes):
        return processes
    time.sleep(_LOOK_AGAIN_S)
    kept = []
    for process in processes:
        try:
            now = read_stat(process.pid)
        except TargetGone:
            continue
        is_shared = process.shares_memory and share(now.parent_pid, process.pid, Shared.MEMORY)
        if process.stat.lacks_leader and not now.lacks_leader:
            continue
        kept.append(replace(process, shares_memory=is_shared))
    return kept


def _descend(root: ProcessStat) -> Iterator[ProcessStat]:
    """The root and its descendants as CRIU goes through them: the dead too, each branch to its end."""
    seen = {root.pid}
    ahead = [root]
    while ahead:
        stat = ahead.pop()
        yield stat
        children = []
        for child in _children(stat.pid):
            with suppress(TargetGone):
                if child not in seen:
                    seen.add(child)
                    children.append(read_stat(child))
        ahead.extend(reversed(children))


def _children(pid: int) -> list[int]:
    """As the kernel lists them; none where it was built without that list (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            with (
                suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/{pid}/task/{tid}/children", "rb", 0) as file,
            ):
                found += map(int, (file.readall() or b"").split())
    return found


def _served_by_others(pid: int) -> frozenset[int]:
    """Mounts on which looking at a file may wait without end."""
    found: set[int] = set()
    for each in (pid, os.getpid()):
        with suppress(DirtytopError):
            found |= {mount.mount_id for mount in read_mounts(each) if mount.asks_a_server}
    return frozenset(found)


def _mounts(processes: list[Process], us: Us) -> dict[int, tuple[Mount, ...]]:
    """Those of the namespaces whose mounts CRIU collects: the tree's, or its own where the root is in it."""
    ours = us.namespaces.get("mnt", 0)
    found: dict[int, tuple[Mount, ...]] = {}
    if processes[0].namespaces.get("mnt", ours) == ours:
        found[ours] = read_mounts(os.getpid())
    for process in processes:
        namespace = process.namespaces.get("mnt", ours)
        if namespace not in found and namespace != ours and not process.is_without_leader:
            with suppress(DirtytopError):
                found[namespace] = read_mounts(process.pid)
    return found


def _with_watches(
    processes: list[Process],
    mounts: Mapping[int, tuple[Mount, ...]],
    us: Us,
    stuck: Mapping[int, tuple[int, ...]],
) -> Iterator[Process]:
    before: list[tuple[int, tuple[OpenFile, ...]]] = []
    for process in processes:
        ours = us.namespaces.get("mnt", 0)
        namespace = process.namespaces.get("mnt", ours)
        root = "" if namespace == ours else f"/proc/{process.pid}/root"
        before.insert(0, (process.pid, process.files))
        yield replace(
            process,
            waits_in_kernel=stuck.get(process.pid, ()),
            epoll_targets=lost_epoll_targets(process.pid, process.files, before[1:]),
            file_watches=lost_file_watches(process.files, mounts.get(namespace, ()), root),
        )


def _sockets(tree: Tree) -> dict[int, Socket]:
    """The sockets of the namespaces of the tree; of what may be but of a moment, those that stay."""
    if not tree.socket_numbers:
        return {}
    found = _read_all_sockets(tree)
    passing = {number for number in tree.socket_numbers & found.keys() if _may_pass(found[number])}
    if passing:
        time.sleep(_LOOK_AGAIN_S)
        again = _read_all_sockets(tree)
        found.update({number: again[number] for number in passing & again.keys()})
    return found


def _read_all_sockets(tree: Tree) -> dict[int, Socket]:
    found: dict[int, Socket] = {}
    asked = set()
    for process in tree.processes:
        namespace = process.namespaces.get("net", 0)
        if namespace not in asked and not process.is_without_leader:
            asked.add(namespace)
            # Without the right to go there, or if the process has just ended, nothing is known of them.
            with suppress(OSError):
                found |= read_sockets(process.pid)
    return found


def _may_pass(found: Socket) -> bool:
    """Whether what speaks against saving it may be gone in a moment."""
    waits = found.family == socket.AF_NETLINK or found.state == LISTENING
    return bool(waits and found.received)


def _owners(pid: int) -> dict[str, int]:
    """Which user namespace each namespace of a process belongs to; 0 where the kernel does not say."""
    found = {}
    for name in _OWNED:
        try:
            descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
            found[name] = os.fstat(owner).st_ino
            os.close(owner)
        except OSError:
            found[name] = 0
        finally:
            os.close(descriptor)
    return found


def _id_map(pid: int, name: str) -> dict[int, int]:
    """The first number of each range of a user namespace, and what we know it as."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", 0) as file:
            lines = (file.readall() or b"").split(b"\n")
    except OSError:
        return {}
    ranges = (line.split() for line in lines if line)
    return {int(inside): int(outside) for inside, outside, _ in ranges}


@lru_cache
def _kernel() -> Kernel:
    """Found out once, by doing."""
    descriptor = os.memfd_create("dirtytop", os.MFD_CLOEXEC)
    try:
        memory_device = os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
        try:
            network.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)
            hides = False
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            hides = True
    places = os.pathsep.join((os.environ.get("PATH", ""), *_SUPER_PATH))

    def has(program: str) -> bool:
        return shutil.which(program, path=places) is not None

    families = ("iptables", "ip6tables") if _IPV6.exists() else ("iptables",)
    has_iptables = all(has(name) and has(f"{name}-restore") for name in families)
    return Kernel(hides, memory_device, has_ip_program=has("ip"), has_iptables=has_iptables)


def _free_huge_pages() -> frozenset[int]:
    """Sizes of huge pages of which one can be had now, bytes."""
    found = []
    for place in _HUGE_PAGES.glob("hugepages-*kB"):
        try:
            counts = {name: int((place / name).read_text()) for name in _HUGE_COUNTS}
        except OSError:  # hidden, as in some containers
            continue
        may_grow = counts["nr_overcommit_hugepages"] > counts["surplus_hugepages"]
        if counts["free_hugepages"] > counts["resv_hugepages"] or may_grow:
            found.append(int(place.name.removeprefix("hugepages-").removesuffix("kB")) << 10)
    return frozenset(found)
