"""What the kernel lets this process do to others: capabilities(7), ptrace(2) access, userfaultfd(2)."""

from __future__ import annotations

import os
from typing import Final

from engine.capabilities import Capability, effective_capabilities
from engine.kernel.process import read_status

_BY_READING: Final = frozenset((Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH))
"""To look into processes of other users takes both: the right to, and to open files of theirs (mode 0400)."""
_BY_WRITING: Final = frozenset((Capability.SYS_PTRACE, Capability.DAC_OVERRIDE))
"""Soft-dirty bits are cleared by writing to such a file (mode 0200)."""


def relevant_capabilities() -> tuple[str, ...]:
    """The names of those capabilities in effect that matter to us."""
    return tuple(capability.full_name for capability in sorted(effective_capabilities()))


def may_look_into_others() -> bool:
    """Whether other users' processes can be watched, by write-protection at least, and be saved."""
    held = effective_capabilities()
    return held >= _BY_READING or held >= _BY_WRITING


def may_clear_soft_dirty(pid: int) -> bool:
    """Whether this process's soft-dirty bits may be cleared: by its owner, and who may write to all files.

    Raises:
        TargetGone: there is no such process any more.
    """
    owners = {int(uid) for uid in read_status(pid)["Uid"].split()}
    return owners == {os.geteuid()} or effective_capabilities() >= _BY_WRITING


def may_trace_others() -> bool:
    """Whether Yama and the owner of a process do not matter (CAP_SYS_PTRACE)."""
    return Capability.SYS_PTRACE in effective_capabilities()


def read_setting(path: str) -> int | None:
    """A number under /proc/sys, or None where this kernel has no such setting."""
    try:
        with open(f"/proc/sys/{path}") as file:
            return int(file.read())
    except (FileNotFoundError, PermissionError):
        return None
