"""What a process is subject to: its state, a tracer, its session, rights and limits, the scheduler."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Final

from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Thread, Tree
from engine.preflight.finding import Seen
from engine.preflight.rules import processes as rules

_POLICY_FIELD: Final = 41 - 3  # of proc_pid_stat(5), of which ours begin with the third
_DEADLINE: Final = 6
_STOPPED: Final = "T"
_SIGTRAP: Final = 1 << (signal.SIGTRAP - 1)


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving this process."""
    pid = process.pid
    if process.is_without_leader:
        if process.stat.lacks_leader:
            yield Seen(rules.LEADER_EXITED, pid, "", f"{len(process.threads) - 1} threads")
        return
    if not process.is_readable:
        yield Seen(rules.NOT_PERMITTED, pid, "")
    tracer = process.leader.number("TracerPid")
    if tracer:
        yield Seen(rules.TRACED, pid, "", f"process {tracer}")
    if process.shares_memory:
        yield Seen(rules.SHARED_ADDRESS_SPACE, pid, "")
    elif process.shares_directories:
        yield Seen(rules.SHARED_DIRECTORIES, pid, "")
    if process.stat.state == _STOPPED:
        yield Seen(rules.STOPPED, pid, "")
    if process.hides_limits:
        yield Seen(rules.LIMITS, pid, "")
    for tid in process.waits_in_kernel:
        yield Seen(rules.UNSTOPPABLE, pid, f"thread {tid}")
    if int(process.stat.fields[_POLICY_FIELD]) == _DEADLINE:
        yield Seen(rules.DEADLINE, pid, "")
    for name, value in process.settings.items():
        yield Seen(rules.SETTING, pid, name, value)
    if process.label:
        yield Seen(rules.SECURITY_LABEL, pid, "its profile", process.label)
    if process.leader.number("NoNewPrivs"):
        yield Seen(rules.NO_NEW_PRIVILEGES, pid, "")
    if process.leader.number("CapAmb", 16):
        yield Seen(rules.AMBIENT_CAPABILITIES, pid, "")
    if process.leader.number("SigIgn", 16) & _SIGTRAP:
        yield Seen(rules.IGNORED_SIGTRAP, pid, "")
    for thread in process.threads:
        yield from _thread(process, tree, thread)


def _thread(process: Process, tree: Tree, thread: Thread) -> Iterator[Seen]:
    if (thread.number("SigPnd", 16) | thread.number("ShdPnd", 16)) & _SIGTRAP:
        yield Seen(rules.PENDING_SIGTRAP, process.pid, f"thread {thread.tid}")
    if thread.number("Seccomp") and tree.us.seccomp:
        yield Seen(rules.CONFINED, process.pid, f"thread {thread.tid}")
    for name, number in thread.namespaces.items():
        if number != process.namespaces.get(name):
            yield Seen(rules.SETTING, process.pid, f"the {name} namespace of thread {thread.tid}")


def look_at_all(tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What is told of the tree as a whole: its session."""
    root = tree.root
    if root.stat.session != root.pid and root.inner("NSsid") != root.inner("NSpid"):
        yield Seen(rules.SESSION, root.pid, "")
    for pid, _ in tree.left_behind:
        yield Seen(rules.LEFT_BEHIND, pid, "")
