"""How much more memory a process may take: what the machine has, or what its memory cgroups leave."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

_ROOT: Final = Path("/sys/fs/cgroup")
_FILES: Final = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Of version 2, and of version 1 (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst)."""


def room_bytes(pid: int) -> int:
    """What this process can still get without anybody being killed for it, as far as limits tell."""
    rooms = [int(psutil.virtual_memory().available)]
    for place in _cgroups(pid):
        rooms += _rooms(place)
    return max(0, min(rooms))


def _cgroups(pid: int) -> list[Path]:
    """The directories of its memory cgroup and of all above it."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" or "memory" in controllers.split(","):
            base = _ROOT / "memory" if number != "0" else _ROOT
            place = base / path.lstrip("/")
            found += [place, *(above for above in place.parents if above.is_relative_to(base))]
    return found


def _rooms(place: Path) -> list[int]:
    """What the limits of one cgroup leave."""
    found = []
    for limit, used in _FILES:
        try:
            found.append(int((place / limit).read_text()) - int((place / used).read_text()))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return found
