"""Whether CRIU will find what an epoll, inotify or fanotify watches: it is looked for as CRIU does.

An epoll knows files by themselves, not by their descriptors, and an inotify knows inodes: CRIU looks for
a descriptor of the one (criu/eventpoll.c) and a path to the other (criu/fsnotify.c).
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Sequence
from typing import Final

from engine.kernel.descriptors import OpenFile
from engine.kernel.kcmp import watches
from engine.kernel.libc import MACHINE, system_call
from engine.kernel.mountinfo import Mount
from engine.preflight.facts import Watch

_EPOLL: Final = b"anon_inode:[eventpoll]"
_NOTIFIERS: Final = (b"anon_inode:inotify", b"anon_inode:[fanotify]")
_TARGET: Final = re.compile(rb"tfd:\s*(\d+) ")
_HANDLE: Final = re.compile(
    rb"ino:([0-9a-f]+) sdev:([0-9a-f]+) .*fhandle-type:([0-9a-f]+) f_handle:([0-9a-f]+)"
)
_SYS_OPEN_BY_HANDLE_AT: Final = {"x86_64": 304, "aarch64": 265}.get(MACHINE, -1)
_MINOR_BITS: Final = 20
_NUMBERED_ANEW: Final = ("tmpfs", "devtmpfs")
"""File systems whose inodes have other numbers when they are mounted again."""
_MOST_TRIES: Final = 20_000
"""Of so many descriptors is asked whether they are what an epoll watches."""

_Holder = tuple[int, tuple[OpenFile, ...]]
"""A process, and its descriptors."""


def lost_epoll_targets(pid: int, files: Sequence[OpenFile], before: Sequence[_Holder]) -> tuple[Watch, ...]:
    """What the epolls of a process watch that neither it nor the processes before it have open.

    Args:
        pid: the process.
        files: its descriptors.
        before: those of the processes that CRIU saves before.
    """
    lost = []
    numbers = {file.number for file in files}
    tries = _MOST_TRIES
    for epoll in files:
        if epoll.name != _EPOLL:
            continue
        seen: dict[int, int] = {}
        for line in epoll.details:
            target = _TARGET.match(line)
            if target is None:
                continue
            number = int(target[1])
            nth = seen.get(number, 0)
            seen[number] = nth + 1
            if number in numbers and watches(pid, epoll.number, number, nth, pid, number) is not False:
                continue
            holders = ((holder, file.number) for holder, of_it in ((pid, files), *before) for file in of_it)
            for holder, candidate in holders:
                tries -= 1
                if tries < 0 or watches(pid, epoll.number, number, nth, holder, candidate) is not False:
                    break
            else:
                lost.append(Watch(epoll.number, f"what was its descriptor {number}"))
    return tuple(lost)


def lost_file_watches(
    files: Iterable[OpenFile], mounts: Iterable[Mount], root: str = ""
) -> tuple[Watch, ...]:
    """What inotifys and fanotifys watch that no path leads to.

    Args:
        files: the descriptors of a process.
        mounts: those that CRIU looks at.
        root: what leads to the root of these mounts; nothing if that is our own.
    """
    by_device: dict[tuple[int, int], list[Mount]] = {}
    for mount in mounts:
        by_device.setdefault(mount.device, []).append(mount)
    lost = []
    for file in files:
        if file.name not in _NOTIFIERS:
            continue
        for line in file.details:
            found = _HANDLE.search(line)
            if found is None:
                continue
            inode, number, kind = (int(found[at], 16) for at in (1, 2, 3))
            device = (number >> _MINOR_BITS, number & ((1 << _MINOR_BITS) - 1))
            if not _is_found(inode, kind, bytes.fromhex(found[4].decode()), by_device.get(device, ()), root):
                lost.append(Watch(file.number, f"inode {inode} of device {device[0]}:{device[1]}"))
    return tuple(lost)


def _is_found(inode: int, kind: int, handle: bytes, mounts: Sequence[Mount], root: str) -> bool:
    """As `alloc_openable` and `check_open_handle` of CRIU."""
    if any(mount.asks_a_server for mount in mounts):
        return True  # nobody can say
    is_there = False
    for mount in mounts:
        path = _path_of(kind, handle, mount, root)
        if path is None:
            continue
        is_there = True
        try:
            if os.stat(os.fsencode(root) + path).st_ino == inode:
                return True
        except OSError:
            continue
    return is_there and mounts[0].kind not in _NUMBERED_ANEW


def _path_of(kind: int, handle: bytes, mount: Mount, root: str) -> bytes | None:
    """What a handle of a file system names, or did; None if this mount of it does not know."""
    wanted = ctypes.create_string_buffer(
        len(handle).to_bytes(4, "little") + kind.to_bytes(4, "little", signed=True) + handle
    )
    try:
        at = os.open(os.fsencode(root) + mount.point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        address = ctypes.c_void_p(ctypes.addressof(wanted))
        found = system_call(_SYS_OPEN_BY_HANDLE_AT, at, address, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(at)
    try:
        return os.readlink(b"/proc/self/fd/%d" % found)
    finally:
        os.close(found)
