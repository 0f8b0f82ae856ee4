r"""What is mounted where: `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).

Fields are separated by single blanks. Within one the kernel writes blanks, newlines and backslashes as
`\040` and the like (`mangle` in fs/proc_namespace.c), and every other byte as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.errors import kernel_errors

_ESCAPED: Final = re.compile(rb"\\([0-3][0-7]{2})")
_END_OF_OPTIONAL: Final = b"-"

_SERVED_BY_OTHERS: Final = ("nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "lustre", "glusterfs", "coda")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line."""

    mount_id: int
    parent_id: int
    device: tuple[int, int]
    """Major and minor."""
    root: bytes
    """Which directory of the file system is mounted; "/" if it is all of it."""
    point: bytes
    """Where, as seen from the root of the process that was asked about."""
    kind: str
    """The file system, as in "ext4"; what follows a dot is left out, as in "fuse.sshfs"."""
    source: bytes
    options: bytes
    """Those of the file system, not of this mount."""
    shared: int
    """The group of mounts that it shares what is mounted in it with; 0 if none."""
    master: int
    """The group that it receives mounts from; 0 if none."""

    @property
    def asks_a_server(self) -> bool:
        """Whether looking at a file on it may wait for another machine, or for a process, without end."""
        return self.kind in _SERVED_BY_OTHERS or self.kind.startswith("fuse")


def read_mounts(pid: int) -> tuple[Mount, ...]:
    """The mounts of a process's mount namespace that can be reached from its root, in the kernel's order.

    Raises:
        TargetGone: there is no such process any more.
        NotPermitted: dirtytop is not permitted to look into it.
    """
    with kernel_errors(pid, "read its mounts"), open(f"/proc/{pid}/mountinfo", "rb", 0) as file:
        raw = file.readall() or b""
    return tuple(parse_mount(line) for line in raw.split(b"\n") if line)


def parse_mount(line: bytes) -> Mount:
    """One line of the file, without its newline."""
    fields = line.split(b" ")
    end = fields.index(_END_OF_OPTIONAL, 6)
    groups = {
        name: int(number) for name, _, number in (tag.partition(b":") for tag in fields[6:end]) if number
    }
    major, _, minor = fields[2].partition(b":")
    kind, source, options = (*fields[end + 1 :], b"", b"", b"")[:3]
    return Mount(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=(int(major), int(minor)),
        root=_as_it_is(fields[3]),
        point=_as_it_is(fields[4]),
        kind=kind.decode("ascii", "backslashreplace").partition(".")[0],
        source=_as_it_is(source),
        options=options,
        shared=groups.get(b"shared", 0),
        master=groups.get(b"master", 0),
    )


def _as_it_is(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field)
