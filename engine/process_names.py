"""The names that people call a process by, for finding it without its pid.

A process of an interpreter is known by its script, or module, rather than by the interpreter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from engine.printable import printable

_INTERPRETER: Final = re.compile(r"(python|pypy|node|nodejs|ruby|perl|php|lua|java|bash|dash|zsh|sh)[0-9.]*$")
_MODULE: Final = ("-m",)
"""Options of interpreters whose value is what is run."""
_TEXT: Final = ("-c", "-e", "-E", "-p")
"""Those whose value is the program's text: it has no name."""


@dataclass(frozen=True, slots=True)
class Named:
    """A process, and what it is called."""

    pid: int
    names: tuple[str, ...]
    """The last part of its program's path, the kernel's name for it, and its script; not printable."""
    command: str
    """Its command line, printable."""


def list_named() -> tuple[Named, ...]:
    """Every process that has a command line, but ourselves; ascending by pid."""
    import psutil  # takes as long as all the rest of a start, and is seldom needed

    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"]
        if arguments and process.pid != os.getpid():
            names = names_of(process.info["name"] or "", arguments)
            found.append(Named(process.pid, names, printable(" ".join(arguments).strip())))
    return tuple(found)


def find_called(pattern: str) -> tuple[Named, ...]:
    """The processes that a name, or a glob as a shell has it, fits; ascending by pid."""
    return tuple(each for each in list_named() if any(fnmatchcase(name, pattern) for name in each.names))


def is_called(name: str) -> bool:
    """Whether any process is called so; a name that no process can have is not looked for."""
    return bool(name) and "\0" not in name and bool(find_called(name))


def names_of(name: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """What a process is called.

    Args:
        name: the kernel's name for it (`comm`).
        arguments: its command line, at least one word.
    """
    program = os.path.basename(arguments[0])
    names = (program, name, script_of(arguments))
    return tuple(dict.fromkeys(each for each in names if each))


def script_of(arguments: Sequence[str]) -> str:
    """The script or the module that an interpreter runs, without its directory; empty if that is not told."""
    if not _INTERPRETER.match(os.path.basename(arguments[0])):
        return ""
    words = iter(arguments[1:])
    for word in words:
        if word in _MODULE:
            return next(words, "")
        if word in _TEXT:
            return ""
        if not word.startswith("-"):
            return os.path.basename(word)
    return ""
