"""A process's mappings and what is in them, from `smaps`, so that two looks can be compared.

Mappings that lie side by side and are the same in all but their addresses are told as one: the kernel
merges such ones, or does not, for reasons of its own, and nothing but mremap(2) across their border tells
the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.errors import TargetGone
from engine.kernel.process import memory_file

_HEADER = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) ([0-9]+) *(.*)$", re.DOTALL)
_OF_ANONYMOUS = (
    "Rss",
    "Pss",
    "Private",
    "Shared",
    "Anonymous",
    "LazyFree",
    "Swap",
    "AnonHugePages",
    "KSM",
    "Locked",
)
"""Of mappings whose pages nobody else uses but the tree."""
_OF_FILES = ("Anonymous", "Swap")
"""Of files' mappings: which of their unmodified pages are resident depends on the whole machine."""
_KERNELS_OWN = (b"[vvar]", b"[vvar_vclock]", b"[vdso]", b"[vsyscall]")
_SOFT_DIRTY = {"sd"}
"""What tells of writes, and not a property of the mapping."""
_WATCHED = {"um", "uw", "ui"}
"""A userfaultfd watches it."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One, or several that follow one another."""

    start: int
    end: int
    protection: bytes
    offset: int
    device: bytes
    inode: int
    name: bytes
    flags: frozenset[str]
    watched: str
    """By which flags a userfaultfd watches it."""
    kib: dict[str, int]

    @property
    def is_anonymous(self) -> bool:
        """Whether its pages are those of no file that has a name."""
        return self.inode == 0 or self.name.startswith((b"/dev/zero", b"/memfd:", b"/SYSV"))

    def continues(self, before: Mapping) -> bool:
        """Whether the two could be one."""
        return (
            (self.start, self.protection, self.device, self.inode, self.name, self.flags)
            == (before.end, before.protection, before.device, before.inode, before.name, before.flags)
        ) and (self.inode == 0 or self.offset == before.offset + before.end - before.start)

    def and_then(self, behind: Mapping) -> Mapping:
        """The two as one."""
        kib = {name: self.kib.get(name, 0) + behind.kib.get(name, 0) for name in self.kib | behind.kib}
        return replace(self, end=behind.end, kib=kib, watched=self.watched or behind.watched)

    @property
    def text(self) -> str:
        """What the mapping is."""
        name = self.name.decode("utf-8", "backslashreplace").replace("\r", "\\r")
        return (
            f"{self.start:x}-{self.end:x} {self.protection.decode()} {self.offset:x} {self.inode} "
            f"{' '.join(sorted(self.flags))} {name}"
        )

    @property
    def content(self) -> str:
        """How much of it is there, and how, in KiB."""
        counted = _OF_ANONYMOUS if self.is_anonymous else _OF_FILES
        return ", ".join(f"{name} {self.kib[name]}" for name in counted if self.kib.get(name))


def mappings(pid: int) -> list[Mapping]:
    """All of a process; none if it has gone."""
    found: list[Mapping] = []
    for mapping in _read(pid):
        if found and mapping.continues(found[-1]):
            found[-1] = found[-1].and_then(mapping)
        else:
            found.append(mapping)
    return found


def blocks(pid: int, mapping: Mapping) -> int | None:
    """How much of shared memory is there, whoever maps it; None of other mappings."""
    if not mapping.is_anonymous or mapping.inode == 0:
        return None
    for name in os.listdir(f"/proc/{pid}/map_files"):
        if int(name.partition("-")[0], 16) == mapping.start:
            return os.stat(f"/proc/{pid}/map_files/{name}").st_blocks
    return None


def _read(pid: int) -> Iterator[Mapping]:
    try:
        with open(memory_file(pid, "smaps"), "rb") as file:
            lines = file.read().split(b"\n")
    except (OSError, TargetGone):
        return
    header: re.Match[bytes] | None = None
    kib: dict[str, int] = {}
    for line in lines:
        if found := _HEADER.match(line):
            header, kib = found, {}
        elif line.startswith(b"VmFlags:") and header is not None and header[7] not in _KERNELS_OWN:
            start, end, protection, offset, device, inode, name = header.groups()
            flags = frozenset(flag.decode() for flag in line.split()[1:])
            yield Mapping(
                start=int(start, 16),
                end=int(end, 16),
                protection=protection,
                offset=int(offset, 16),
                device=device,
                inode=int(inode),
                name=name,
                flags=flags - _SOFT_DIRTY - _WATCHED,
                watched=" ".join(sorted(flags & _WATCHED)),
                kib=kib,
            )
        elif line.endswith(b" kB"):
            what, _, number = line.decode().partition(":")
            # Whether a page is dirty tells of writes too.
            what = what.partition("_")[0] if what.endswith(("_Clean", "_Dirty")) and what[0] in "PS" else what
            kib[what] = kib.get(what, 0) + int(number.split()[0])
