"""Trees as a reader would have found them, for judging without any process."""

from __future__ import annotations

from typing import Any

from engine.kernel.process import ProcessStat
from engine.preflight.facts import Process, Thread, Tree, Us

OURS = {"pid": 1, "net": 2, "ipc": 3, "uts": 4, "time": 5, "time_for_children": 5, "mnt": 6, "user": 7}
"""The namespaces that we are in."""


def stat_of(pid: int, parent: int = 1, command: str = "target", session: int | None = None) -> ProcessStat:
    fields = [b"0"] * 50
    fields[0] = b"S"
    return ProcessStat(
        pid=pid,
        command=command,
        raw_command=command.encode(),
        state="S",
        parent_pid=parent,
        process_group=pid,
        session=pid if session is None else session,
        flags=0,
        thread_count=1,
        start_ticks=5,
        exit_code=0,
        fields=tuple(fields),
    )


def process(pid: int = 100, parent: int = 1, command: str = "target", **facts: Any) -> Process:
    """A process that leads its session and has nothing special, but for these facts."""
    status = {"NSpid": str(pid), "NSsid": str(pid), **facts.pop("status", {})}
    facts.setdefault("threads", (Thread(pid, status),))
    facts.setdefault("namespaces", OURS)
    return Process(stat_of(pid, parent, command, facts.pop("session", None)), **facts)


def tree(*processes: Process, **facts: Any) -> Tree:
    """A tree of these, seen from our own namespaces."""
    facts.setdefault("us", Us(OURS))
    return Tree(processes or (process(),), **facts)
