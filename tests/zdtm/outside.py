"""What can be seen of a process tree from outside, to be the same before and after.

Only what a process that waits does not change by itself; which of it some test changes all the same
is found out by looking twice without having touched it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

View = dict[str, str]
"""For each thing, as "12: maps" or "12: status Threads", what it was."""

_OF_STATUS: Final = (
    *("State", "TracerPid", "Uid", "Gid", "Groups", "Threads"),
    *("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"),
    *("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"),
    *("THP_enabled", "VmLck", "VmPin", "HugetlbPages", "FDSize"),
)
_FILES: Final = (
    *("limits", "personality", "coredump_filter", "oom_score_adj", "timers", "loginuid", "sessionid"),
    *("cgroup", "uid_map", "gid_map"),
)
_STATES_OF_ALIVE: Final = ("R (running)", "S (sleeping)", "D (disk sleep)")
_ALIVE: Final = "running or waiting"
_OF_FDINFO: Final = re.compile(r"^(?:pos|flags|mnt_id|ino):", re.MULTILINE)


def view_tree(root: int) -> View:
    """All of a process and its descendants; of what has gone meanwhile, nothing."""
    view: View = {}
    for pid in _tree(root):
        view |= {f"{pid}: {name}": value for name, value in _of_process(pid)}
        for tid in _listed(f"/proc/{pid}/task"):
            view |= {
                f"{pid}/{tid}: {name}": value for name, value in _of_thread(Path(f"/proc/{pid}/task/{tid}"))
            }
    return view


def differences(before: View, after: View) -> list[str]:
    """What is not as it was, a line each."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            gone = [line for line in was.splitlines() if line not in now.splitlines()]
            came = [line for line in now.splitlines() if line not in was.splitlines()]
            found.append(f"{name} was {' | '.join(gone) or 'more'}, is {' | '.join(came) or 'less'}")
    return found


def kinds(lines: list[str]) -> set[str]:
    """Of what kind these differences are, whichever process and thread they are of."""
    return {line.partition(": ")[2].partition(" was ")[0] for line in lines}


def _tree(root: int) -> Iterator[int]:
    yield root
    for tid in _listed(f"/proc/{root}/task"):
        for child in _read(f"/proc/{root}/task/{tid}/children").split():
            yield from _tree(int(child))


def _of_process(pid: int) -> Iterator[tuple[str, str]]:
    directory = f"/proc/{pid}"
    yield "maps", _read(f"{directory}/maps")
    yield "flags of mappings", _vm_flags(_read(f"{directory}/smaps"))
    for name in _FILES:
        yield name, _read(f"{directory}/{name}")
    for fd in _listed(f"{directory}/fd"):
        with suppress(OSError):
            target = os.readlink(f"{directory}/fd/{fd}")
            info = _read(f"{directory}/fdinfo/{fd}").splitlines()
            yield f"descriptor {fd}", "\n".join([target, *(line for line in info if _OF_FDINFO.match(line))])


def _of_thread(directory: Path) -> Iterator[tuple[str, str]]:
    status = dict(line.partition(":")[::2] for line in _read(directory / "status").splitlines())
    for name in _OF_STATUS:
        if name in status:
            value = status[name].strip()
            yield f"status {name}", _ALIVE if value in _STATES_OF_ALIVE else value
    # Without its number: what goes on after a stop may be called restart_syscall then, and is the same.
    yield "system call", _read(directory / "syscall").strip().partition(" ")[2]
    yield "name", _read(directory / "comm").strip()


def _vm_flags(smaps: str) -> str:
    """Each mapping with its flags, without those of soft-dirty bits."""
    lines, where = [], ""
    for line in smaps.splitlines():
        if line.startswith("VmFlags:"):
            lines.append(f"{where} {' '.join(flag for flag in line.split()[1:] if flag != 'sd')}")
        elif "-" in line.split(" ")[0]:
            where = line.split(" ")[0]
    return "\n".join(lines)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory), key=lambda name: (len(name), name))
    except OSError:
        return []
