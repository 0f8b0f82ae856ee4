"""What can go wrong, in words a user can act on, and the one place where `OSError` becomes such words.

Every error names what failed, on which pid, and why; `hint` says what to do about it. `exit_code`
is what the command line ends with and never changes for a kind of error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from engine.printable import printable


class DirtytopError(Exception):
    """Something failed; the message is one line for a person."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, pid: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.pid = pid
        self.hint = hint


class NotPermitted(DirtytopError):
    """The kernel refuses us access to the target."""

    exit_code = 3


class AlreadyTraced(NotPermitted):
    """Another process (gdb, strace, another dirtytop) is tracing the target."""


class TargetGone(DirtytopError):
    """The target has exited, or its pid now names another process."""

    exit_code = 4


class NotSupported(DirtytopError):
    """What was asked cannot be done on this kernel, or to this kind of process."""

    exit_code = 5


class EpochLent(DirtytopError):
    """A chain of CRIU's relies on the soft-dirty bits: clearing them would make it lose pages."""


class KernelThread(NotSupported):
    """The target has no memory of its own."""


class Cancelled(DirtytopError):
    """The user ended a step before it was complete; nothing was lost."""


class BadImage(DirtytopError):
    """An image directory is damaged, incomplete, or not what it claims to be."""


class UnknownFormat(BadImage):
    """Images that are not damaged but newer than we are: what they say cannot be judged, let alone used."""

    exit_code = 5


class LinkFailed(DirtytopError):
    """A pre-dump or dump could not be written; the target runs on and its pages are pending again."""


def ptrace_hint() -> str:
    """Why the kernel may refuse to let us look into a process of our own user, and what to do."""
    if os.geteuid() == 0:
        return "even root is refused here: a container without CAP_SYS_PTRACE, or a security module"
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = int(file.read())
    except OSError:
        scope = 0
    if scope:
        return (
            f"run as root, or allow it with `sysctl kernel.yama.ptrace_scope=0` (now {scope}: "
            "only a parent may look into its children)"
        )
    return "run as root, or as the user who owns the process"


@contextmanager
def kernel_errors(pid: int, doing: str) -> Iterator[None]:
    """Turn an `OSError` about process `pid` into one of ours.

    Args:
        pid: the process the system call was about.
        doing: what was being done, as in "read its memory map".

    Raises:
        TargetGone: ESRCH, or ENOENT (its /proc entry is no longer there).
        NotPermitted: EPERM or EACCES.
        DirtytopError: anything else, with the kernel's own words.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, pid, doing) from error


def from_os_error(error: OSError, pid: int, doing: str) -> DirtytopError:
    """The error of ours that says what `error` means for process `pid`."""
    if error.errno in (errno.ESRCH, errno.ENOENT):
        return TargetGone(f"process {pid} has exited (cannot {doing})", pid=pid)
    why = printable(os.strerror(error.errno or 0))
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(f"process {pid}: not permitted to {doing} ({why})", pid=pid, hint=ptrace_hint())
    return DirtytopError(f"process {pid}: cannot {doing} ({why})", pid=pid)
