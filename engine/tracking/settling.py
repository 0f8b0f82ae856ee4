"""Waiting for a process to settle: one that is just starting a program is not what it will be in a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from engine.errors import DirtytopError, TargetGone
from engine.kernel.process import Identity, ProcessStat, require_same

_CALM_WITHIN_S: Final = 2.0
"""As long a process may go on starting program after program before one of them can be tracked."""

_LOADED_WITHIN_S: Final = 2.0
"""Far longer than the kernel takes to load a program, even where nothing has been read from the disk yet."""

_LOOK_EVERY_S: Final = 0.001

T = TypeVar("T")


def program_now(identity: Identity) -> tuple[str, str] | None:
    """Which program a process runs, once that is loaded; None if the process has exited."""
    try:
        return _settled(identity).program
    except TargetGone:
        return None


def require_same_program(identity: Identity, program: tuple[str, str]) -> None:
    """Make sure that what was seen of a process was seen of this program.

    Raises:
        TargetGone: the process has exited, or has started another program.
    """
    if program_now(identity) != program:
        raise TargetGone(f"process {identity.pid} has started another program", pid=identity.pid)


def begin_when_settled(identity: Identity, begin: Callable[[ProcessStat], T]) -> T:
    """Begin something with a process, again and again for as long as it fails over another program's start.

    Args:
        identity: of the process.
        begin: is told what the process is now. It undoes what it has done if it fails.

    Returns:
        What `begin` returns.

    Raises:
        TargetGone: the process has exited.
        DirtytopError: `begin` has failed with one program, or the process does not settle.
    """
    deadline = time.monotonic() + _CALM_WITHIN_S
    stat = _settled(identity)
    while True:
        try:
            return begin(stat)
        except DirtytopError:
            # A process that starts another program meanwhile may look as if anything were wrong with it.
            now = _settled(identity)
            if now.program == stat.program:
                raise
            stat = now
        if time.monotonic() > deadline:
            raise DirtytopError(
                f"process {identity.pid} starts program after program: none lasts until it is tracked",
                pid=identity.pid,
                hint="try again when it has settled",
            )


def _settled(identity: Identity) -> ProcessStat:
    """What a process is, once the kernel has loaded the program that it may just be starting.

    Raises:
        TargetGone: the process has exited, or is about to: it has no memory.
    """
    deadline = time.monotonic() + _LOADED_WITHIN_S
    while True:
        stat = require_same(identity)
        if stat.has_program:
            return stat
        if stat.is_exiting or time.monotonic() > deadline:
            raise TargetGone(f"process {identity.pid} is exiting", pid=identity.pid)
        time.sleep(_LOOK_EVERY_S)
