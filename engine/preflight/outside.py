"""What ties processes outside of the tree to it: shared memory, and the session that it leads."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import TargetGone
from engine.kernel.maps import Vma
from engine.kernel.process import read_stat

_LONGEST_S: Final = 0.15
"""So long are the mappings of other processes looked through."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What was found."""

    shared: Mapping[tuple[str, int], str]
    """Objects of the tree's shared memory, by device and inode: which process has them too, printable."""
    session: tuple[tuple[int, str], ...]
    """Processes of the session that are not in the tree: pid and printable command."""


def look_outside(tree: frozenset[int], session: int, vmas: Iterable[Vma], device: int) -> Outside:
    """Look through all processes that are not in the tree.

    Args:
        tree: its pids.
        session: the one that its root leads; 0 if it leads none.
        vmas: of all its processes.
        device: that of memfds and shared anonymous memory.
    """
    memory = f"{os.major(device):02x}:{os.minor(device):02x}" if device >= 0 else ""
    wanted = {(vma.device, vma.inode) for vma in vmas if not vma.is_private and vma.device == memory}
    pattern = _pattern(memory, [inode for _, inode in wanted])
    shared: dict[tuple[str, int], str] = {}
    left = []
    deadline_s = time.monotonic() + _LONGEST_S
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) in tree:
            continue
        try:
            stat = read_stat(int(name))
        except TargetGone:
            continue
        if stat.is_dead or stat.is_kernel_thread:
            continue
        if session and stat.session == session:
            left.append((stat.pid, stat.command))
        if pattern is not None and time.monotonic() < deadline_s:
            for inode in _found(stat.pid, pattern):
                shared.setdefault((memory, inode), f"process {stat.pid} ({stat.command})")
    return Outside(shared, tuple(left))


def _pattern(device: str, inodes: list[int]) -> re.Pattern[bytes] | None:
    """What finds a mapping of one of these in the text of `maps`."""
    if not inodes:
        return None
    numbers = "|".join(map(str, sorted(inodes)))
    return re.compile(rf"s [0-9a-f]+ {device} ({numbers}) ".encode())


def _found(pid: int, pattern: re.Pattern[bytes]) -> set[int]:
    try:
        with open(f"/proc/{pid}/maps", "rb", 0) as file:
            return {int(number) for number in pattern.findall(file.readall() or b"")}
    except OSError:  # it has exited, or is not ours to look into
        return set()
