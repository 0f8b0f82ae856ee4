"""Handles on processes and on what they have open (pidfd_open(2), pidfd_getfd(2), kcmp(2))."""

from __future__ import annotations

import os

from engine.errors import kernel_errors
from engine.kernel.libc import MACHINE, system_call

_SYS_PIDFD_GETFD = 438  # the same number on every architecture
_PIDFD_THREAD = os.O_EXCL
_SYS_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_FILE = 0


def open_pidfd(pid: int) -> int:
    """A descriptor for the process, close-on-exec; the caller closes it.

    Raises:
        TargetGone: there is no such process.
    """
    with kernel_errors(pid, "open a handle on it"):
        return os.pidfd_open(pid)


def open_thread_pidfd(tid: int) -> int:
    """A descriptor for one thread, which may have files of its own; the caller closes it.

    Raises:
        OSError: EINVAL before Linux 6.9 (commit 64bef697d33b), ESRCH once it has ended.
    """
    return os.pidfd_open(tid, _PIDFD_THREAD)


def take_descriptor(pidfd: int, target_descriptor: int) -> int:
    """A copy of one of the target's descriptors, close-on-exec; the caller closes it.

    Raises:
        OSError: EPERM without ptrace access, EBADF if the target has no such descriptor.
    """
    return system_call(_SYS_PIDFD_GETFD, pidfd, target_descriptor, 0)


def is_same_open_file(pid: int, descriptor: int, other_pid: int, other_descriptor: int) -> bool:
    """Whether two descriptors, of two processes, are copies of one: numbers and names do not tell that.

    Raises:
        OSError: EBADF if one of them is not there, ESRCH if a process is not, EPERM without ptrace
            access, ENOSYS where the kernel was built without kcmp.
    """
    number = _SYS_KCMP.get(MACHINE, -1)
    return system_call(number, pid, other_pid, _KCMP_FILE, descriptor, other_descriptor) == 0
