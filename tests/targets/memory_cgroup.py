"""A memory cgroup with little room, of version 1 or 2, where we may make one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


class MemoryCgroup:
    """Who is put into it gets no more memory than it has room for; who asks for more is killed."""

    def __init__(self, path: Path, room_bytes: int) -> None:
        self.path = path
        self._is_second = (path / "cgroup.controllers").exists()
        limit = "memory.max" if self._is_second else "memory.limit_in_bytes"
        (path / limit).write_text(str(room_bytes))

    def take(self, pid: int) -> None:
        """Put a process into it, with what it asks for from now on."""
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed for want of room."""
        name = "memory.events" if self._is_second else "memory.oom_control"
        counts = dict(line.split() for line in (self.path / name).read_text().splitlines())
        return int(counts["oom_kill"])


@contextmanager
def memory_cgroup(room_bytes: int) -> Iterator[MemoryCgroup]:
    """One of our own; who is in it must have ended before it does. Skips where none can be made."""
    try:
        above = next(path for path in (_ROOT / "memory", _ROOT) if _offers_memory(path))
        path = above / f"dirtytop-{os.getpid()}"
        path.mkdir()
    except (StopIteration, OSError) as error:
        pytest.skip(f"no memory cgroup can be made here ({error!r})")
    try:
        yield MemoryCgroup(path, room_bytes)
    finally:
        path.rmdir()


def _offers_memory(path: Path) -> bool:
    controllers = path / "cgroup.subtree_control"
    if controllers.exists():
        return "memory" in controllers.read_text().split()
    return (path / "memory.limit_in_bytes").exists()
