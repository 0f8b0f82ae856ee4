"""Terminals: which of them CRIU can save, and which are served by a process outside of the tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from engine.kernel.descriptors import OpenFile
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree
from engine.preflight.finding import Rule, Seen
from engine.preflight.rules import files
from engine.printable import printable

_CONSOLES: Final = 4
_AUXILIARY: Final = 5
_OWN_TERMINAL: Final = (_AUXILIARY, 0)
_MASTER: Final = (_AUXILIARY, 2)
_SLAVES: Final = 136
_LAST_SLAVE: Final = 143
_SERIAL: Final = (188, 204)
_HIGHEST: Final = 1000


def is_terminal(number: int) -> bool:
    """Whether CRIU takes a character device for a terminal (criu/tty.c, get_tty_driver)."""
    major, minor = os.major(number), os.minor(number)
    if major == _AUXILIARY:
        return minor in (0, 1, 2)
    if major == _CONSOLES:
        return 1 <= minor <= 63
    return major == _SLAVES or major in _SERIAL or 128 <= major < 136


def look(tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the terminals of the tree."""
    if dumper.leaves_out("tty"):
        return
    masters = set()
    slaves: dict[int, list[tuple[Process, OpenFile]]] = {}
    for process in tree.processes:
        for file in process.files:
            if file.status is None or not stat.S_ISCHR(file.status.st_mode):
                continue
            number = file.status.st_rdev
            if (os.major(number), os.minor(number)) == _MASTER:
                told = file.detail(b"tty-index")
                masters.add(int(told) if told.isdigit() else -1)
            elif _is_slave(number) and not file.is_deleted:  # of one whose master is closed, little is saved
                slaves.setdefault(_index(number), []).append((process, file))
        yield from _own(process)
    for index in sorted(slaves):
        if index > _HIGHEST:
            yield from (_seen(files.TERMINAL_NUMBER, *each) for each in slaves[index])
    lonely = [index for index in sorted(slaves) if index not in masters]
    for index in lonely:
        rule = files.TERMINAL if len(lonely) == 1 else files.TERMINALS
        yield from (_seen(rule, *each) for each in slaves[index])
    for index in sorted(slaves.keys() & masters):
        for process, file in slaves[index]:
            if process.stat.session not in tree.sessions and _controls(process, file):
                yield _seen(files.TERMINAL, process, file)


def _own(process: Process) -> Iterator[Seen]:
    """`/dev/tty` is saved only beside the terminal that it means."""
    own = [file for file in process.files if file.status is not None and _is(file, _OWN_TERMINAL)]
    if own and not any(_controls(process, file) for file in process.files):
        yield from (_seen(files.CONTROLLING_TERMINAL, process, file) for file in own)


def _controls(process: Process, file: OpenFile) -> bool:
    """Whether that file is the process's controlling terminal."""
    status = file.status
    if status is None or not stat.S_ISCHR(status.st_mode):
        return False
    return _terminal_of(process) == status.st_rdev and _is_slave(status.st_rdev)


def _terminal_of(process: Process) -> int:
    """Its device; field 7 of proc_pid_stat(5), of which ours begin with the third. 0 if it has none."""
    return int(process.stat.fields[4])


def _is(file: OpenFile, number: tuple[int, int]) -> bool:
    status = file.status
    if status is None or not stat.S_ISCHR(status.st_mode):
        return False
    return (os.major(status.st_rdev), os.minor(status.st_rdev)) == number


def _is_slave(number: int) -> bool:
    return _SLAVES <= os.major(number) <= _LAST_SLAVE


def _index(number: int) -> int:
    return (os.major(number) - _SLAVES << 20) + os.minor(number)


def _seen(rule: Rule, process: Process, file: OpenFile) -> Seen:
    return Seen(rule, process.pid, f"descriptor {file.number}", printable(file.name))
