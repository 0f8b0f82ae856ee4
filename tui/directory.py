"""Where a chain goes: a name for its directory, and whether one the user names will do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import NotTrusted
from engine.images.layout import is_image
from engine.printable import printable
from engine.trust.directory import OPTION, open_directory

if TYPE_CHECKING:
    from engine.checkpoint.earlier import EarlierChain

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 40
_HOLDS_IMAGES = "it holds images already: choose a new or empty directory"


@dataclass(frozen=True, slots=True)
class DirectoryReport:
    """What is known of a directory before anything is written."""

    path: Path
    problem: str
    """Why no chain can be begun there, printable; "" if one can."""
    free_bytes: int = 0
    """What is left to us on its file system."""
    earlier: EarlierChain | None = None
    """The chain that is there, if one can go on with it."""


def chain_name(command: str, pid: int, stamp: str) -> str:
    """A directory name that says what and when, made of harmless characters only."""
    name = _UNSAFE.sub("_", command).strip("._-")[:_NAME_LENGTH] or "process"
    return f"{name}-{pid}-{stamp}"


def examine_directory(
    path: Path, find_chain: Callable[[Path], EarlierChain | None], *, trusts: bool = False
) -> DirectoryReport:
    """Look at a directory, or at where it would be made. May wait for a slow file system.

    Args:
        path: the directory.
        find_chain: what is to be known of the chain in a directory.
        trusts: whether others may be able to exchange it.
    """
    if not path.is_absolute():
        return DirectoryReport(path, "not an absolute path")
    try:
        existing = next(each for each in (path, *path.parents) if os.path.lexists(each))
        space = os.statvfs(existing)
        problem = _problem(path, existing) or _strangers(path, trusts=trusts)
        earlier = find_chain(path) if problem == _HOLDS_IMAGES else None
    except OSError as error:
        return DirectoryReport(path, printable(f"{error.strerror}: {error.filename}"))
    free_bytes = space.f_bavail * space.f_frsize
    if earlier is not None and not earlier.why_not:
        # Even where others are trusted: a chain that they may have exchanged is not gone on with.
        strangers = _strangers(path, trusts=False, otherwise="")
        return DirectoryReport(path, strangers, free_bytes, earlier)
    if earlier is not None:
        problem = f"{earlier.why_not}: choose a new or empty directory"
    return DirectoryReport(path, problem, free_bytes)


def _strangers(path: Path, *, trusts: bool, otherwise: str = f", or start with {OPTION}") -> str:
    try:
        open_directory(path, trusts=trusts, stops=True).close()
    except NotTrusted as error:
        return f"{error.message} (choose another directory{otherwise})"
    return ""


def _problem(path: Path, existing: Path) -> str:
    if not existing.is_dir():
        return printable(f"{existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        return printable(f"no permission to write in {existing}")
    if existing == path and any(is_image(name) or name.isdecimal() for name in os.listdir(path)):
        return _HOLDS_IMAGES
    return ""
