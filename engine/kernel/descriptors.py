"""What a process has open: `/proc/PID/fd` and `/proc/PID/fdinfo` (proc_pid_fd(5), proc_pid_fdinfo(5)).

Only the kernel is asked, never a server: what lies on a file system that other machines or processes
serve is named, and not looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from engine.errors import kernel_errors

_SOCKET: Final = b"socket:["
_PROTOCOL: Final = "system.sockprotoname"
"""An attribute that every socket has (net/socket.c)."""
_ENOUGH: Final = 1 << 16


class NameLeads(Enum):
    """Where the name of an open file leads by now."""

    NOT_ASKED = "not asked"
    HERE = "here"
    ELSEWHERE = "elsewhere"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One file that is open, mapped, or otherwise held."""

    number: int
    """Its descriptor; -1 if it is not held by one."""
    name: bytes
    """What the kernel calls it: a path, or as in "socket:[123]"."""
    flags: int = 0
    """As of open(2)."""
    mount_id: int = -1
    """Of the mount it was opened on; -1 if that is not known."""
    status: os.stat_result | None = None
    """Of what has a path, and was looked at."""
    details: tuple[bytes, ...] = ()
    """What fdinfo says besides: locks, what an epoll or an inotify watches, …"""
    protocol: str = ""
    """Of a socket, as the kernel names it: "TCP", "UDPv6", "UNIX-STREAM", …"""
    name_leads: NameLeads = NameLeads.NOT_ASKED
    """Of what has a path, and was looked at."""

    @property
    def object_number(self) -> int:
        """The number that the kernel gives with a kind, as in "socket:[123]"; 0 without one."""
        _, _, number = self.name.partition(b":[")
        number = number.removesuffix(b"]")
        return int(number) if number.isdigit() else 0

    @property
    def is_deleted(self) -> bool:
        """Whether its name does not exist any more, as the kernel sees it."""
        return self.name.startswith(b"/") and self.name.endswith(b" (deleted)")

    def detail(self, key: bytes) -> bytes:
        """The value of the first further line of that key; nothing if there is none."""
        found = (value for name, _, value in (line.partition(b":") for line in self.details) if name == key)
        return next(found, b"").strip()


def read_open_files(pid: int, not_asked: Collection[int] = (), root: bytes = b"") -> tuple[OpenFile, ...]:
    """Every descriptor of a process, ascending; those that come and go meanwhile may be missing.

    Args:
        pid: whose.
        not_asked: ids of mounts whose files are not looked at.
        root: what leads to the root of its mounts; nothing if that is our own.

    Raises:
        TargetGone: there is no such process any more.
        NotPermitted: dirtytop is not permitted to look into it.
    """
    with kernel_errors(pid, "list its open files"):
        numbers = sorted(map(int, os.listdir(f"/proc/{pid}/fd")))
        links = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            infos = os.open(f"/proc/{pid}/fdinfo", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except BaseException:
            os.close(links)
            raise
        try:
            found = (_read(pid, number, links, infos, not_asked, root) for number in numbers)
            return tuple(each for each in found if each is not None)
        finally:
            os.close(links)
            os.close(infos)


def _read(
    pid: int, number: int, links: int, infos: int, not_asked: Collection[int], root: bytes
) -> OpenFile | None:
    try:
        name = os.readlink(b"%d" % number, dir_fd=links)
        flags, mount_id, details = _fdinfo(number, infos)
        status, protocol, leads = None, "", NameLeads.NOT_ASKED
        if name.startswith(b"/") and mount_id not in not_asked:
            status = os.stat(str(number), dir_fd=links)
            leads = _where(root + name, status)
        elif name.startswith(_SOCKET):
            protocol = (
                os.getxattr(f"/proc/{pid}/fd/{number}", _PROTOCOL).rstrip(b"\0").decode("ascii", "replace")
            )
    except (FileNotFoundError, ProcessLookupError):  # closed meanwhile
        return None
    except OSError:
        # A file whose server is gone, or a socket that will not say: it is there, and no more is known.
        return OpenFile(number, name)
    return OpenFile(number, name, flags, mount_id, status, details, protocol, leads)


def _where(path: bytes, status: os.stat_result) -> NameLeads:
    """Where a name leads, of what once had it; by its own end, since a file may be a link itself."""
    try:
        found = os.stat(path, follow_symlinks=not stat.S_ISLNK(status.st_mode))
    except OSError:
        return NameLeads.NOWHERE
    is_it = (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
    return NameLeads.HERE if is_it else NameLeads.ELSEWHERE


def _fdinfo(number: int, infos: int) -> tuple[int, int, tuple[bytes, ...]]:
    descriptor = os.open(str(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=infos)
    try:
        raw = os.read(descriptor, _ENOUGH)
        while more := os.read(descriptor, _ENOUGH):
            raw += more
    finally:
        os.close(descriptor)
    flags, mount_id = 0, -1
    details = []
    for line in raw.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"flags":
            flags = int(value, 8)
        elif key == b"mnt_id":
            mount_id = int(value)
        elif line and key not in (b"pos", b"ino"):
            details.append(line)
    return flags, mount_id, tuple(details)


def open_by_path(pid: int, path: str, name: bytes = b"", root: bytes = b"") -> OpenFile | None:
    """What a link in `/proc/PID` leads to, as `exe`, `cwd`, or one of `map_files`; None if to nothing.

    It is opened without being read or waited for (O_PATH), so even its server is not asked for more
    than that it is there.

    Args:
        pid: whose.
        path: below `/proc/PID`.
        name: what to call it; nothing: as the link does.
        root: as of `read_open_files`.
    """
    link = f"/proc/{pid}/{path}"
    try:
        descriptor = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it has exited, has none, or we may not
        return None
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb", 0) as file:
            info = file.read()
        mount_id = next((int(line[7:]) for line in info.split(b"\n") if line.startswith(b"mnt_id:")), -1)
        shown = name or os.readlink(os.fsencode(link))
        status = os.fstat(descriptor)
        return OpenFile(-1, shown, os.O_PATH, mount_id, status, name_leads=_where(root + shown, status))
    except OSError:
        return None
    finally:
        os.close(descriptor)
