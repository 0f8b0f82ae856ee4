"""The facts that `reader` has read of a tree, without a judgement, all within one moment or nearly so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from engine.kernel.descriptors import OpenFile
from engine.kernel.maps import Vma
from engine.kernel.mountinfo import Mount
from engine.kernel.process import ProcessStat
from engine.kernel.sock_diag import Socket
from engine.pageset import EMPTY, PageSet


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread; of one that has just ended nothing is known."""

    tid: int
    status: Mapping[str, str] = field(default_factory=dict)
    namespaces: Mapping[str, int] = field(default_factory=dict)
    """Those that may differ from its process's, by name."""
    io_priority: int = 0
    """As of ioprio_get(2)."""

    def number(self, name: str, base: int = 10) -> int:
        """The first number of a field of its status; 0 if there is none."""
        value = self.status.get(name, "").split()
        return int(value[0], base) if value else 0


@dataclass(frozen=True, slots=True)
class Watch:
    """Something that a descriptor watches and that cannot be found again."""

    descriptor: int
    what: str
    """Printable."""


@dataclass(frozen=True)
class Process:
    """One process of the tree."""

    stat: ProcessStat
    threads: tuple[Thread, ...] = ()
    """The leader first."""
    files: tuple[OpenFile, ...] = ()
    """Its descriptors."""
    held: tuple[tuple[str, OpenFile], ...] = ()
    """What it holds without a descriptor, with what it is: its program, its directories, mapped files."""
    vmas: tuple[Vma, ...] = ()
    """Those mappings that are of something: a file, a kernel object, a name."""
    guarded: PageSet = EMPTY
    """Guard regions in its private mappings."""
    namespaces: Mapping[str, int] = field(default_factory=dict)
    """Their inode numbers, by name, as in "net"."""
    shares_memory: bool = False
    """With its parent in the tree; so the next."""
    shares_directories: bool = False
    is_readable: bool = True
    """Whether we may look into it."""
    hides_limits: bool = False
    """Whether we may not read its limits."""
    waits_in_kernel: tuple[int, ...] = ()
    """Its threads that were found there twice, where nothing stops them."""
    epoll_targets: tuple[Watch, ...] = ()
    """Files that its epolls watch and that are open nowhere where CRIU looks."""
    file_watches: tuple[Watch, ...] = ()
    """Watches of its inotifys and fanotifys to which there is no path."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What CRIU does not save, where it is not as ours: which, and what it is."""
    label: str = ""
    """The profile of a security module that confines it; printable."""
    proc_pid: str = ""
    """What `/proc/self` is where it lives, or nothing if that cannot be told."""

    @property
    def pid(self) -> int:
        """As we know it."""
        return self.stat.pid

    @property
    def is_without_leader(self) -> bool:
        """Whether its first thread has ended; `/proc/PID` shows as little of it as of a zombie."""
        return self.stat.is_dead or self.stat.lacks_leader

    @property
    def leader(self) -> Thread:
        """Its first thread."""
        return self.threads[0] if self.threads else Thread(self.pid)

    def inner(self, name: str) -> int:
        """Of a field like NSpid, the number in its innermost pid namespace; -1 if it is not told."""
        numbers = self.leader.status.get(name, "").split()
        return int(numbers[-1]) if numbers else -1


@dataclass(frozen=True)
class Us:
    """What we are, and with us the CRIU that we start."""

    namespaces: Mapping[str, int] = field(default_factory=dict)
    seccomp: int = 0
    """0 if we have no filter."""


@dataclass(frozen=True)
class Kernel:
    """What this kernel and this machine are like."""

    hides_pass_credentials: bool = False
    """Whether network sockets do not tell of SO_PASSCRED (Linux 6.16)."""
    memory_device: int = -1
    """The device that memfds and shared anonymous memory are on."""
    free_huge_pages: frozenset[int] = frozenset()
    """The sizes, in bytes, of which a huge page is free or may be made."""
    has_ip_program: bool = True
    has_iptables: bool = True
    """Whether the programs are there that change its packet filters, those of IPv6 too if it has that."""


@dataclass(frozen=True)
class Tree:
    """The root and its descendants, as they were found."""

    processes: tuple[Process, ...]
    """The root first, parents before children."""
    us: Us = field(default_factory=Us)
    kernel: Kernel = field(default_factory=Kernel)
    sockets: Mapping[int, Socket] = field(default_factory=dict)
    """Those of the network namespaces of the tree, by inode."""
    mounts: Mapping[int, tuple[Mount, ...]] = field(default_factory=dict)
    """Those that CRIU looks at, by mount namespace."""
    owners: Mapping[str, int] = field(default_factory=dict)
    """Which user namespace the root's namespaces belong to, by their names; 0 if that is not told."""
    mapped_root: tuple[int, int] | None = None
    """Which user and group the root's user namespace has as 0; None if it is ours, or has none."""
    maps_root: bool = True
    """Whether the root's user namespace has a user and a group 0."""
    shared_outside: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Shared memory of the tree, by device and inode, that a process outside has too: which, printable."""
    left_behind: tuple[tuple[int, str], ...] = ()
    """Processes of the root's session that are no descendants: pid and printable command."""

    @property
    def root(self) -> Process:
        """Its first process."""
        return self.processes[0]

    @cached_property
    def pids(self) -> frozenset[int]:
        """All of it."""
        return frozenset(process.pid for process in self.processes)

    @cached_property
    def sessions(self) -> frozenset[int]:
        """The sessions whose leader is in the tree."""
        return frozenset(process.pid for process in self.processes if process.stat.session == process.pid)

    @cached_property
    def socket_numbers(self) -> frozenset[int]:
        """The inodes of all sockets that it has open."""
        return frozenset(
            file.object_number
            for process in self.processes
            for file in process.files
            if file.name.startswith(b"socket:[")
        )

    @cached_property
    def known_mounts(self) -> Mapping[int, Mount]:
        """Every mount that CRIU looks at, by id."""
        return {mount.mount_id: mount for mounts in self.mounts.values() for mount in mounts}

    @cached_property
    def hidden_mounts(self) -> frozenset[int]:
        """The ids of those over which another is mounted."""
        known = self.known_mounts
        return frozenset(
            mount.parent_id
            for mount in known.values()
            if mount.parent_id in known
            and known[mount.parent_id].point == mount.point
            and mount.parent_id != mount.mount_id
        )

    @cached_property
    def has_own_mounts(self) -> bool:
        """Whether a process, the root or any other, is in a mount namespace that is not ours."""
        ours = self.us.namespaces.get("mnt")
        return any(process.namespaces.get("mnt", ours) != ours for process in self.processes)

    def is_own(self, namespace: str) -> bool:
        """Whether the root is in a namespace of that name that is not ours: then CRIU saves it."""
        theirs = self.root.namespaces.get(namespace)
        return theirs is not None and theirs != self.us.namespaces.get(namespace)


def is_regular(status: os.stat_result) -> bool:
    """Whether it is a file, a directory or a link: what CRIU finds again by its path."""
    return (status.st_mode & 0o170000) in (0o100000, 0o040000, 0o120000)
