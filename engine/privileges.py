"""What the kernel lets this process do to others: capabilities(7), ptrace(2) access, userfaultfd(2)."""

from __future__ import annotations

import os
from typing import Final

from engine.kernel.process import read_status

RELEVANT_CAPABILITIES: Final = {
    12: "CAP_NET_ADMIN",
    19: "CAP_SYS_PTRACE",
    21: "CAP_SYS_ADMIN",
    24: "CAP_SYS_RESOURCE",
    38: "CAP_PERFMON",
    40: "CAP_CHECKPOINT_RESTORE",
}
"""Those that looking into processes and taking checkpoints ask for, by their number."""

_CAP_SYS_PTRACE: Final = 19


def effective_capabilities() -> int:
    """The CapEff bits of this process."""
    return int(read_status(os.getpid())["CapEff"], 16)


def capability_names(bits: int) -> tuple[str, ...]:
    """Those of `RELEVANT_CAPABILITIES` that are set in `bits`."""
    return tuple(name for number, name in RELEVANT_CAPABILITIES.items() if bits >> number & 1)


def may_trace_others() -> bool:
    """Whether the processes of other users may be looked into (CAP_SYS_PTRACE)."""
    return bool(effective_capabilities() >> _CAP_SYS_PTRACE & 1)


def read_setting(path: str) -> int | None:
    """A number under /proc/sys, or None where this kernel has no such setting."""
    try:
        with open(f"/proc/sys/{path}") as file:
            return int(file.read())
    except (FileNotFoundError, PermissionError):
        return None
