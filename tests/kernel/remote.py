"""One system call in a target, as a test makes it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernel.remote_syscall import borrowed_thread


def remote_call(pid: int, number: int, arguments: Sequence[int]) -> int:
    """Errors as of `borrowed_thread` and `RemoteCaller.call`."""
    with borrowed_thread(pid) as caller:
        return caller.call(number, *arguments)
