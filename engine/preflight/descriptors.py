"""What a process has open, except sockets, devices and terminals; and what it holds without a descriptor."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from engine.kernel.descriptors import NameLeads, OpenFile
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree, is_regular
from engine.preflight.finding import Seen
from engine.preflight.rules import files
from engine.preflight.terminals import is_terminal
from engine.printable import printable

_ANONYMOUS: Final = b"anon_inode:"
_SAVED: Final = ("[eventfd]", "[eventpoll]", "inotify", "[fanotify]", "[signalfd]", "[timerfd]")
"""Kernel objects that every CRIU has an image for."""
_RULES: Final = {
    "[io_uring]": files.IO_URING,
    "[userfaultfd]": files.USERFAULTFD,
    "bpf-map": files.BPF_MAP,
}
_PIDFD: Final = (b"anon_inode:[pidfd]", b"pidfd:[")
"""Since Linux 6.9 they are on a file system of their own."""
_BPF_MAPS_SAVED: Final = (1, 2)
"""BPF_MAP_TYPE_HASH and BPF_MAP_TYPE_ARRAY (criu/bpfmap.c)."""
_NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_MEMFD: Final = b"/memfd:"
_SECRET: Final = b"/secretmem"
_BLOCK: Final = 512
_SPARSE_SINCE: Final = (3, 18, 0)
_TERMINALS_EXCHANGED_SINCE: Final = (3, 18, 0)
"""Wherever they are mounted: commit 2039d7320."""
_MOST_PIPES: Final = 1024


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving what this process has open."""
    for file in process.files:
        thing = f"descriptor {file.number}"
        yield from _file(process, tree, dumper, file, thing)
        if any(line.startswith(b"lock:") for line in file.details):
            yield Seen(files.LOCK, process.pid, thing, _shown(file))
    for what, file in process.held:
        yield from _path(process, tree, dumper, file, what)
    for watch in process.epoll_targets:
        yield Seen(files.EPOLL_TARGET, process.pid, f"descriptor {watch.descriptor}", watch.what)
    for watch in process.file_watches:
        yield Seen(files.FILE_WATCH, process.pid, f"descriptor {watch.descriptor}", watch.what)


def look_at_all(tree: Tree) -> Iterator[Seen]:
    """What is told only of all processes together: pipes."""
    ends: dict[int, set[int]] = {}
    holders: dict[int, tuple[int, int]] = {}
    for process in tree.processes:
        for file in process.files:
            if file.name.startswith(b"pipe:["):
                ends.setdefault(file.object_number, set()).add(file.flags & os.O_ACCMODE)
                holders.setdefault(file.object_number, (process.pid, file.number))
    read = [number for number, ways in ends.items() if ways - {os.O_WRONLY}]
    if len(read) > _MOST_PIPES:
        yield Seen(files.MANY_PIPES, tree.root.pid, f"{len(read):,} pipes")
    for number, ways in ends.items():
        if len(ways) == 1 and os.O_RDWR not in ways:
            pid, descriptor = holders[number]
            end = "read" if os.O_RDONLY in ways else "written"
            yield Seen(files.HALF_PIPE, pid, f"descriptor {descriptor}", f"a pipe that is only {end} there")


def _file(process: Process, tree: Tree, dumper: Dumper, file: OpenFile, thing: str) -> Iterator[Seen]:
    name = file.name
    if name.startswith(_PIDFD):
        yield from _pidfd(process, tree, file, thing)
    elif name.startswith(_ANONYMOUS):
        yield from _anonymous(process, dumper, file, thing)
    elif name.startswith(b"pipe:["):
        if file.flags & os.O_DIRECT:
            yield Seen(files.PACKET_PIPE, process.pid, thing)
    elif name.startswith(b"/"):
        yield from _path(process, tree, dumper, file, thing)
    else:
        yield from _namespace(process, tree, file, thing)


def _anonymous(process: Process, dumper: Dumper, file: OpenFile, thing: str) -> Iterator[Seen]:
    kind = printable(file.name.removeprefix(_ANONYMOUS))
    if kind in _SAVED:
        return
    if kind == "bpf-map":
        number = file.detail(b"map_type")
        if dumper.has_bpf_maps and number.isdigit() and int(number) in _BPF_MAPS_SAVED:
            return
    yield Seen(_RULES.get(kind, files.KERNEL_OBJECT), process.pid, thing, kind)


def _pidfd(process: Process, tree: Tree, file: OpenFile, thing: str) -> Iterator[Seen]:
    yield Seen(files.PIDFD, process.pid, thing)
    of = file.detail(b"Pid")
    if file.flags & os.O_EXCL:
        yield Seen(files.PIDFD_THREAD, process.pid, thing)
    elif of.isdigit() and int(of) not in tree.pids:
        yield Seen(files.PIDFD_OUTSIDE, process.pid, thing, f"process {int(of)}" if int(of) else "")


def _namespace(process: Process, tree: Tree, file: OpenFile, thing: str) -> Iterator[Seen]:
    """A namespace, as in "net:[4026531840]", that neither the tree nor CRIU is in."""
    kind = printable(file.name.partition(b":[")[0])
    if kind not in _NAMESPACES:
        return
    known: Mapping[str, int] = tree.us.namespaces
    if file.object_number == known.get(kind):
        return
    if all(each.namespaces.get(kind) != file.object_number for each in tree.processes):
        yield Seen(files.NAMESPACE_FILE, process.pid, thing, _shown(file))


def _path(process: Process, tree: Tree, dumper: Dumper, file: OpenFile, thing: str) -> Iterator[Seen]:
    """What CRIU finds again by its path."""
    status = file.status
    if file.name.startswith(_SECRET):
        yield Seen(files.SECRET_MEMORY, process.pid, thing)
        return
    if status is None:
        yield Seen(files.NOT_LOOKED_AT, process.pid, thing, _shown(file))
        return
    if file.name.startswith(_MEMFD) or status.st_dev == tree.kernel.memory_device:
        is_huge = status.st_dev != tree.kernel.memory_device
        if is_huge and status.st_blksize not in tree.kernel.free_huge_pages:
            yield Seen(files.HUGE_MEMFD, process.pid, thing, _shown(file))
        return
    if not dumper.leaves_out("file") and not _is_exchanged(status, dumper):
        yield from _mount(process, tree, file, thing)
    if is_regular(status) or stat.S_ISFIFO(status.st_mode):  # of others see `devices` and `terminals`
        yield from _deleted(process, tree, dumper, file, status, thing)


def _is_exchanged(status: os.stat_result, dumper: Dumper) -> bool:
    """Whether a restore puts the terminal that it is made from in its place."""
    return (
        stat.S_ISCHR(status.st_mode)
        and is_terminal(status.st_rdev)
        and dumper.allows("shell-job")
        and dumper.version >= _TERMINALS_EXCHANGED_SINCE
    )


def _mount(process: Process, tree: Tree, file: OpenFile, thing: str) -> Iterator[Seen]:
    if file.mount_id < 0 or not tree.mounts:
        return
    mount = tree.known_mounts.get(file.mount_id)
    if mount is None:
        yield Seen(files.OTHER_MOUNT, process.pid, thing, _shown(file))
    elif mount.mount_id in tree.hidden_mounts:
        yield Seen(files.OVERMOUNTED, process.pid, thing, _shown(file))


def _deleted(
    process: Process, tree: Tree, dumper: Dumper, file: OpenFile, status: os.stat_result, thing: str
) -> Iterator[Seen]:
    mount = tree.known_mounts.get(file.mount_id)
    if mount is not None and mount.kind in ("proc", "devpts"):
        return
    if status.st_nlink == 0:
        size = status.st_blocks * _BLOCK if dumper.version >= _SPARSE_SINCE else status.st_size
        if stat.S_ISREG(status.st_mode) and size > dumper.ghost_limit_bytes:
            yield Seen(files.DELETED_LARGE, process.pid, thing, f"{_shown(file)}, {size:,} bytes")
    elif file.name_leads is NameLeads.NOWHERE:
        yield Seen(files.DELETED_LINKED, process.pid, thing, _shown(file))
    elif file.name_leads is NameLeads.ELSEWHERE:
        yield Seen(files.HIDDEN_NAME, process.pid, thing, _shown(file))


def _shown(file: OpenFile) -> str:
    return printable(file.name)
