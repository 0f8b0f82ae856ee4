"""What CRIU is doing inside the target at this moment, and whether the end of CRIU would harm the target.

CRIU's own code runs in one thread of each process, its first: a server that waits for commands on a socket.
When CRIU ends the socket is closed, and that code goes back to the program's own registers by itself; all
other threads are stopped where they were, and go on (compel/plugins/std/infect.c). But now and then, for
some microseconds, CRIU has a thread run something else: a system call that it has written over the
program's first instructions, or a function of its own that ends with a trap. Nobody undoes that when CRIU
ends then: the program crashes, or is left with wrong code. All of that shows from outside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.errors import TargetGone
from engine.kernel.libc import MACHINE
from engine.kernel.process import Identity, child_processes, memory_file, read_status, thread_ids

CRIU_CODE: Final = b"/memfd:CRIUMFD"
"""What the kernel calls the memory that CRIU's code in a target is in."""

_MAPPING: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (....) [^ ]+ [^ ]+ [0-9]+ *([^\n]*)$", re.MULTILINE)
_PATCHED_BYTES: Final = 16
_INSTRUCTIONS: Final = {
    "x86_64": b"\x0f\x05\xcc\xcc\xcc\xcc\xcc\xcc",
    "aarch64": b"\x01\x00\x00\xd4\x00\x00\x20\xd4",
}
"""A system call and traps: what CRIU writes over the first instructions, eight bytes at once."""
_NAME: Final = b"CRIUMFD\0"
"""And behind them, for a moment: the name that it gives its memory."""
_SIGRETURN: Final = {"x86_64": 15, "aarch64": 139}
_RUNNING: Final = [b"running"]
_TRACED: Final = "t"
_DEAD: Final = "ZX"

Range = tuple[int, int]
"""Byte addresses, half-open."""


@dataclass(frozen=True, slots=True)
class Grip:
    """How CRIU holds a target."""

    tracers: frozenset[int] = frozenset()
    """The processes that trace threads of it, of those that were asked about."""
    why_harmful: str = ""
    """Why the end of CRIU would harm the target now, in words; empty if it would not."""


def grip_on(root: Identity, pids: frozenset[int]) -> Grip:
    """How CRIU holds a tree now. It must not run while this looks, or it is old at once.

    Args:
        root: of the tree.
        pids: CRIU and its descendants.
    """
    tracers: set[int] = set()
    harmful = ""
    for pid in tree_of(root):
        try:
            threads = [thread for thread in _threads(pid) if thread.tracer in pids]
            if threads:
                why = _why_harmful(pid, threads)
                harmful = harmful or why
        except (TargetGone, OSError):  # it has ended
            continue
        tracers |= {thread.tracer for thread in threads}
    return Grip(frozenset(tracers), harmful)


def tree_of(root: Identity) -> list[int]:
    """The pids of a tree, the root first; nothing if it has ended."""
    return [root.pid, *(stat.pid for stat in child_processes({root.pid}))]


def code_in(pid: int) -> list[Range]:
    """Where CRIU's code is mapped in a process. Raises TargetGone, or OSError where that cannot be read."""
    return [(low, high) for low, high, _, name in _mappings(pid) if name.startswith(CRIU_CODE)]


# -- one process


@dataclass(frozen=True, slots=True)
class _Thread:
    tid: int
    state: str
    tracer: int
    call: list[bytes]
    """The words of `/proc/PID/task/TID/syscall`."""

    @property
    def program_counter(self) -> int | None:
        """The address at which a thread goes on; None if it cannot be seen."""
        return int(self.call[-1], 16) if len(self.call) > 1 else None

    @property
    def call_number(self) -> int:
        """Of the system call that it is in; -1 if it is in none."""
        return int(self.call[0]) if len(self.call) > 1 else -1


def _threads(pid: int) -> Iterator[_Thread]:
    for tid in thread_ids(pid):
        try:
            status = read_status(pid, tid)
            with open(f"/proc/{pid}/task/{tid}/syscall", "rb", 0) as file:
                call = file.read().split()
        except (TargetGone, OSError):  # that thread has ended
            continue
        state = status.get("State", "X")[:1]
        if state not in _DEAD:
            yield _Thread(tid, state, int(status.get("TracerPid", "0")), call)


def _why_harmful(pid: int, threads: list[_Thread]) -> str:
    """Why CRIU's end would harm this process, of which it traces these threads; empty if it would not."""
    mappings = _mappings(pid)
    code = [(low, high) for low, high, _, name in mappings if name.startswith(CRIU_CODE)]
    first = next((low for low, _, permissions, _ in mappings if b"x" in permissions), None)
    if first is not None and _is_patched(pid, first):
        return f"criu has other code where that of process {pid} begins"
    for thread in threads:
        at = thread.program_counter
        if at is None:
            return f"thread {thread.tid} is running while criu traces it"
        if first is not None and first <= at < first + _PATCHED_BYTES:
            return f"thread {thread.tid} makes a system call for criu"
        if any(low <= at < high for low, high in code) and not _leaves_by_itself(pid, thread):
            return f"thread {thread.tid} runs code of criu's"
    return ""


def _leaves_by_itself(pid: int, thread: _Thread) -> bool:
    """Whether a thread in CRIU's code goes back to its own registers once CRIU is gone."""
    if thread.tid != pid:
        return False
    return thread.state != _TRACED or thread.call_number == _SIGRETURN.get(MACHINE)


def _is_patched(pid: int, address: int) -> bool:
    with open(memory_file(pid, "mem"), "rb", 0) as memory:
        found = os.pread(memory.fileno(), _PATCHED_BYTES, address)
    half = _PATCHED_BYTES // 2
    return found[:half] == _INSTRUCTIONS.get(MACHINE) or found[half:] == _NAME


def _mappings(pid: int) -> list[tuple[int, int, bytes, bytes]]:
    with open(memory_file(pid, "maps"), "rb", 0) as maps:
        found = _MAPPING.findall(maps.readall() or b"")
    return [(int(low, 16), int(high, 16), permissions, name) for low, high, permissions, name in found]
