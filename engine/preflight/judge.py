"""Turns what was seen into findings, for one CRIU and the options that it has been given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from engine.preflight import descriptors, devices, mappings, mounts, namespaces, processes, sockets, terminals
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Tree
from engine.preflight.finding import Finding, Place, Seen, Severity
from engine.preflight.reader import read_tree

_ORDER: Final = {severity: at for at, severity in enumerate(Severity)}
_EACH: Final = (descriptors.look, devices.look, sockets.look, mappings.look, processes.look, namespaces.look)


def examine(pid: int, dumper: Dumper) -> tuple[Finding, ...]:
    """What a dump of a process and its descendants will meet, worst first; nothing of them is touched.

    Args:
        pid: the root of the tree.
        dumper: which CRIU, and what it has been told.

    Raises:
        TargetGone: it has exited. KernelThread: it has no memory of its own.
    """
    return judge(read_tree(pid, dumper), dumper)


def judge(tree: Tree, dumper: Dumper) -> tuple[Finding, ...]:
    """The findings of a tree that has been read: one for each rule that something falls under."""
    commands = dict(tree.left_behind)
    commands |= {process.pid: process.stat.command for process in tree.processes}
    found: dict[str, Finding] = {}
    for seen in look(tree, dumper):
        finding = _finding(seen, commands, dumper)
        if finding is not None:
            before = found.get(finding.key)
            found[finding.key] = before.joined(finding) if before else finding
    return tuple(sorted(found.values(), key=lambda finding: _ORDER[finding.severity]))


def look(tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """Everything that falls under a rule."""
    for process in tree.processes:
        for each in _EACH:
            yield from each(process, tree, dumper)
    yield from descriptors.look_at_all(tree)
    yield from terminals.look(tree, dumper)
    yield from processes.look_at_all(tree, dumper)
    yield from namespaces.look_at_all(tree, dumper)
    yield from mounts.look(tree, dumper)


def _finding(seen: Seen, commands: dict[int, str], dumper: Dumper) -> Finding | None:
    """None if the rule does not hold for this CRIU, or its option costs nothing."""
    rule = seen.rule
    if not rule.holds_for(dumper.version):
        return None
    finding = Finding(
        key=rule.key,
        severity=rule.severity,
        part=rule.part,
        title=rule.title,
        why=rule.why,
        hint=rule.hint,
        places=(Place(seen.pid, commands.get(seen.pid, "?"), seen.thing, seen.detail),),
        option=rule.option,
    )
    if rule.option and dumper.allows(rule.option):
        if not rule.then:
            return None
        return replace(finding, severity=Severity.NOTE, why=rule.then, hint="")
    return finding


def prevents(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those because of which there will be no dump that can be restored."""
    return tuple(finding for finding in findings if finding.severity.prevents)
