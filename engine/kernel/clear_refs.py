"""The soft-dirty half of `/proc/PID/clear_refs` (Documentation/admin-guide/mm/soft-dirty.rst)."""

from __future__ import annotations

from engine.errors import kernel_errors
from engine.kernel.process import memory_file

_CLEAR_SOFT_DIRTY = b"4"


def clear_soft_dirty(pid: int) -> None:
    """Start a new soft-dirty epoch for every page of `pid`.

    The kernel accepts this even where it was built without CONFIG_MEM_SOFT_DIRTY and then tracks
    nothing; `engine.tracking.probe` finds out by writing to a page of its own.

    Raises:
        TargetGone: the process has exited.
        NotPermitted: it belongs to another user, and we lack CAP_SYS_PTRACE or CAP_DAC_OVERRIDE.
    """
    with (
        kernel_errors(pid, "reset its soft-dirty bits"),
        open(memory_file(pid, "clear_refs"), "wb", buffering=0) as clear_refs,
    ):
        clear_refs.write(_CLEAR_SOFT_DIRTY)
