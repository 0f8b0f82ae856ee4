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

from engine.capabilities import Capability, effective_capabilities
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


class NotTrusted(NotPermitted):
    """Somebody else could exchange what we are to use, and we can do more than they can."""


class TargetGone(DirtytopError):
    """The target has exited, or its pid now names another process."""

    exit_code = 4


class NotSupported(DirtytopError):
    """What was asked cannot be done on this kernel, or to this kind of process."""

    exit_code = 5


class NotStoppedInTime(NotSupported):
    """A thread of the target cannot be interrupted now: it waits inside the kernel."""


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
    held = effective_capabilities()
    if os.geteuid() == 0:
        return (
            "root is refused too: this is a container without CAP_SYS_PTRACE, or a security module forbids it"
        )
    if Capability.SYS_PTRACE in held:
        if Capability.DAC_OVERRIDE in held:
            return (
                "refused despite CAP_SYS_PTRACE and CAP_DAC_OVERRIDE, by a security module or a user "
                "namespace"
            )
        if Capability.DAC_READ_SEARCH in held:
            return "soft-dirty also needs CAP_DAC_OVERRIDE; `--tracker write-protect` does not"
        return "CAP_SYS_PTRACE alone is not enough: add CAP_DAC_READ_SEARCH, which opens other users' files"
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
    return "run as root, as the user who owns the process, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"


@contextmanager
def kernel_errors(pid: int, doing: str, tid: int | None = None) -> Iterator[None]:
    """Turn an `OSError` about process `pid` into one of ours.

    Args:
        pid: the process the system call was about.
        doing: what was being done, as in "read its memory map".
        tid: the thread of it that it was about, if it was about one.

    Raises:
        TargetGone: ESRCH, or ENOENT where the process or the thread is no longer there.
        NotPermitted: EPERM or EACCES, or its /proc entry is hidden from us.
        NotSupported: the process is there, and the file in its /proc entry is not.
        DirtytopError: anything else, with the kernel's own words.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, pid, doing, tid) from error


def from_os_error(error: OSError, pid: int, doing: str, tid: int | None = None) -> DirtytopError:
    """The error of ours that says what `error` means for process `pid`."""
    if error.errno == errno.ENOENT and (why_not := _why_not_there(error, pid, doing, tid)) is not None:
        return why_not
    if error.errno in (errno.ESRCH, errno.ENOENT):
        return TargetGone(f"process {pid} has exited (cannot {doing})", pid=pid)
    why = printable(os.strerror(error.errno or 0))
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(f"process {pid}: not permitted to {doing} ({why})", pid=pid, hint=ptrace_hint())
    return DirtytopError(f"process {pid}: cannot {doing} ({why})", pid=pid)


def _why_not_there(error: OSError, pid: int, doing: str, tid: int | None) -> DirtytopError | None:
    """What a missing file of a process that runs means; None if the process, or the thread, has ended."""
    task = f"/proc/{pid}" if tid is None else f"/proc/{pid}/task/{tid}"
    try:
        with open(f"{task}/stat", "rb", 0) as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        return _why_hidden(pid, doing) if tid is None else None
    name = os.fsdecode(error.filename or "")
    if state in (b"Z", b"X", b"x") or name == f"{task}/stat":  # what is there now was not there before
        return None
    return NotSupported(
        f"process {pid}: cannot {doing}: {printable(name) or 'a file of it'} is not there",
        pid=pid,
        hint="this kernel was built without it, or /proc shows only a part, as in some containers",
    )


def _why_hidden(pid: int, doing: str) -> DirtytopError | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    if not os.path.exists("/proc/self"):
        return NotSupported(f"process {pid}: cannot {doing}: /proc is not mounted", pid=pid)
    return NotPermitted(
        f"process {pid}: not permitted to {doing}: /proc hides it from us",
        pid=pid,
        hint="run as root, or as the user who owns the process (/proc is mounted with hidepid)",
    )
