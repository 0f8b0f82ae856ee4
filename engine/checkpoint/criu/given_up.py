"""What to tell of a link that CRIU was told to give up, once it is known how that went."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.checkpoint.criu.client import Worker
from engine.checkpoint.freeze_limit import MORE_TIME, Freeze, FrozenTooLong
from engine.errors import Cancelled, DirtytopError, LinkFailed
from engine.printable import printable


def given_up(
    error: FrozenTooLong | Cancelled, worker: Worker, freeze: Freeze, keep_log: Callable[[], Path | None]
) -> DirtytopError:
    """The error that says what was done, and what has become of the target.

    Args:
        error: why it was given up.
        worker: CRIU, which has ended or is left alone.
        freeze: of the target; still under way if CRIU has not let go of it.
        keep_log: saves the log of CRIU, and says where.
    """
    if not freeze.is_under_way and isinstance(error, Cancelled) and not worker.was_killed:
        return error
    log = keep_log()
    see = f"; its log is {printable(str(log))}" if log else ""
    pid = freeze.pid
    if freeze.is_under_way:
        return LinkFailed(
            f"process {pid} has been stopped for {freeze.elapsed_s:.1f} s, "
            f"and criu (pid {worker.pid}) does not let go of it{see}",
            pid=pid,
            hint="criu was killed, and still waits in the kernel, most likely for a disk: the process "
            "goes on when the disk answers",
        )
    how = "criu did not let go by itself, and was killed" if worker.was_killed else "criu was made to fail"
    done = "; ".join(part for part in (how, worker.remains) if part) + see
    if isinstance(error, Cancelled):
        return Cancelled(f"{error.message} ({done})", pid=pid)
    return FrozenTooLong(
        f"process {pid} was stopped by criu for {freeze.lasted_s:.1f} s, longer than the limit of "
        f"{freeze.limit_s:.1f} s: it runs on, and the link was given up ({done})",
        pid=pid,
        hint=MORE_TIME,
    )
