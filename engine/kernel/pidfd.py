"""Process file descriptors: a handle that never means another process (pidfd_open(2), pidfd_getfd(2))."""

from __future__ import annotations

import os
import select

from engine.errors import kernel_errors
from engine.kernel.libc import system_call

_SYS_PIDFD_GETFD = 438  # the same number on every architecture


def open_pidfd(pid: int) -> int:
    """A descriptor for the process, close-on-exec; the caller closes it.

    Raises:
        TargetGone: there is no such process.
    """
    with kernel_errors(pid, "open a handle on it"):
        return os.pidfd_open(pid)


def has_exited(pidfd: int) -> bool:
    """Whether the process behind the descriptor has exited (a zombie has)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def take_descriptor(pidfd: int, target_descriptor: int) -> int:
    """A copy of one of the target's descriptors, close-on-exec; the caller closes it.

    Raises:
        OSError: EPERM without ptrace access, EBADF if the target has no such descriptor.
    """
    return system_call(_SYS_PIDFD_GETFD, pidfd, target_descriptor, 0)
