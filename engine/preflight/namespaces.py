"""The namespaces of a tree that are not dirtytop's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree
from engine.preflight.finding import Seen
from engine.preflight.process_reader import NAMESPACES
from engine.preflight.rules import namespaces as rules
from engine.preflight.rules.sockets import NO_IPTABLES

_MAY_BE_NESTED: Final = ("mnt", "net")
_OWNED: Final = ("net", "uts", "time", "ipc", "mnt")
_NOT_SAVED_ALONE: Final = "time_for_children"


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the namespaces of this process."""
    if process.is_without_leader:
        return
    root = tree.root
    for name in NAMESPACES:
        of_root = root.namespaces.get("time" if name == _NOT_SAVED_ALONE else name)
        own = process.namespaces.get(name)
        if own is None or own in (of_root, tree.us.namespaces.get(name)):
            continue
        thing = f"its {name} namespace"
        if name not in _MAY_BE_NESTED:
            yield Seen(rules.NESTED, process.pid, thing)
        elif not tree.is_own(name):
            yield Seen(rules.NESTED_ALONE, process.pid, thing)


def look_at_all(tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What is told of the tree as a whole: what its root is in."""
    root = tree.root
    if tree.is_own("pid"):
        if root.inner("NSpid") != 1 and not dumper.leaves_out("pid"):
            yield Seen(rules.NO_INIT, root.pid, "")
        for process in tree.processes:
            if process.inner("NSsid") == 0:
                yield Seen(rules.LEADER_OUTSIDE, process.pid, "")
    if tree.is_own("user"):
        if not tree.maps_root:
            yield Seen(rules.NO_MAPPED_ROOT, root.pid, "")
        theirs = root.namespaces.get("user")
        for name in _OWNED:
            if tree.is_own(name) and tree.owners.get(name, theirs) not in (theirs, 0):
                yield Seen(rules.OTHER_OWNER, root.pid, f"its {name} namespace")
        if not tree.is_own("pid"):
            yield Seen(rules.NO_PID_NAMESPACE, root.pid, "")
        elif root.proc_pid:
            yield Seen(rules.OTHERS_PROC, root.pid, "")
        if tree.mapped_root is not None and tree.mapped_root != (0, 0):
            yield Seen(rules.MAPPED_ROOT, root.pid, "", f"group {tree.mapped_root[1]}")
    if tree.is_own("net") and not tree.kernel.has_ip_program:
        yield Seen(rules.NO_IP, root.pid, "")
    if tree.is_own("net") and dumper.locks_by_iptables and not tree.kernel.has_iptables:
        yield Seen(NO_IPTABLES, root.pid, "its namespace")
