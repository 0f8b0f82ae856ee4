"""The tiny process that obtains a userfaultfd which belongs to another process.

A userfaultfd watches the memory of the process that creates it: the target itself must make that system
call, once. Everything delicate happens here, outside the dashboard: stop one thread, let it call
`userfaultfd`, copy the descriptor, let it call `close`, put it back, let it go. This process is in a
session of its own and ends only between two requests; when the dashboard is killed in the middle,
the work is finished first, and our copy of the descriptor, the last one, goes with this process.

It answers on a SOCK_SEQPACKET socket: one JSON request `{"pid", "start_ticks", "is_tidying"}`, one JSON
reply with the descriptor beside it, or with the error, and a word when its own copy is closed; another word
comes first of all, when it has started. It needs no NumPy and starts in milliseconds.

If this process is killed in the middle, the target may keep a descriptor that is of no use to it. The next
helper is asked to tidy that up.

Run by `engine.tracking.uffd_source`, as `python -I -m engine.tracking.uffd_helper FD`.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import Any

from engine.errors import DirtytopError, NotSupported, TargetGone, from_os_error, kernel_errors
from engine.kernel.last_to_end import be_last_to_end
from engine.kernel.pidfd import is_same_open_file, open_pidfd, open_thread_pidfd, take_descriptor
from engine.kernel.process import Identity, child_processes, require_same
from engine.kernel.remote_syscall import borrowed_thread
from engine.kernel.stopping import on_own_thread
from engine.kernel.urgency import urgent
from engine.kernel.userfaultfd import CREATE_FLAGS, SYS_USERFAULTFD, USER_MODE_ONLY

_SYS_CLOSE = {"x86_64": 3, "aarch64": 57}
_LARGEST_REQUEST = 4096
_CLOSED = b"closed"

READY = b"ready"
"""Said once it can be asked."""


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    while request := connection.recv(_LARGEST_REQUEST):
        wanted = json.loads(request)
        reply: dict[str, Any]
        descriptors: list[int] = []
        try:
            identity = Identity(wanted["pid"], wanted["start_ticks"])
            # Whatever goes wrong, its thread is let go when ours ends.
            if wanted["is_tidying"]:
                on_own_thread(partial(tidy_up, identity))
                reply = {}
            else:
                descriptor, stopped_us = on_own_thread(partial(obtain, identity))
                descriptors.append(descriptor)
                reply = {"stopped_us": stopped_us}
        except DirtytopError as error:
            reply = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        try:
            try:
                socket.send_fds(connection, [json.dumps(reply).encode()], descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            # Only now is the copy sent the last one: closing it undoes everything.
            connection.send(_CLOSED)
        except OSError:  # the dashboard was killed: its copy and ours are gone
            return


def obtain(identity: Identity) -> tuple[int, int]:
    """A userfaultfd of the target, with no copy left in it, and how long one thread was stopped.

    Returns:
        The descriptor, and microseconds.

    Raises:
        TargetGone, NotPermitted, AlreadyTraced, NotSupported: see `borrowed_thread`.
    """
    pid = identity.pid
    pidfd = open_pidfd(pid)
    try:
        require_same(identity)
        with urgent(), borrowed_thread(pid) as caller:
            try:
                theirs = caller.call(SYS_USERFAULTFD, CREATE_FLAGS)
            except OSError as error:
                raise NotSupported(
                    f"process {pid}: the kernel gives it no userfaultfd ({os.strerror(error.errno or 0)})",
                    pid=pid,
                    hint="a security policy may forbid userfaultfd(2), or its descriptors are used up",
                ) from error
            try:
                ours = _take_over(caller.tid, pidfd, theirs)
            except OSError as error:
                raise from_os_error(error, pid, "take over its userfaultfd") from error
            finally:
                caller.call(_SYS_CLOSE[os.uname().machine], theirs)
    finally:
        os.close(pidfd)
    _close_inherited(pid, theirs, ours)
    return ours, caller.stopped_us


def tidy_up(identity: Identity) -> None:
    """Have the target close a userfaultfd that an earlier helper of ours was about to take over.

    The descriptor is told from others by its flags, and by being as it was made: a program that uses one has
    to say first how, and the kernel shows that (fs/userfaultfd.c, userfaultfd_show_fdinfo).

    Raises:
        TargetGone, NotPermitted, AlreadyTraced, NotSupported: see `borrowed_thread`.
    """
    require_same(identity)
    with kernel_errors(identity.pid, "list its descriptors"):
        numbers = [int(name) for name in os.listdir(f"/proc/{identity.pid}/fd")]
    for number in numbers:
        if _is_as_made(identity.pid, number):
            with borrowed_thread(identity.pid) as caller:
                caller.call(_SYS_CLOSE[os.uname().machine], number)


def _is_as_made(pid: int, number: int) -> bool:
    try:
        if os.readlink(f"/proc/{pid}/fd/{number}") != "anon_inode:[userfaultfd]":
            return False
        with open(f"/proc/{pid}/fdinfo/{number}", "rb", 0) as file:
            lines = dict(line.split(b":\t", 1) for line in file.read().split(b"\n") if b":\t" in line)
    except OSError:  # closed meanwhile
        return False
    flags, api = int(lines.get(b"flags", b"0"), 8), lines.get(b"API", b"").split(b":")
    return flags == CREATE_FLAGS & ~USER_MODE_ONLY and len(api) == 3 and api[1] == b"0"


def _take_over(tid: int, pidfd: int, theirs: int) -> int:
    """A copy of the descriptor that a thread has just got. Raises OSError."""
    try:
        of_thread = open_thread_pidfd(tid)
    except OSError:  # an older kernel: then the process, whose main thread has to be there for that
        return take_descriptor(pidfd, theirs)
    try:
        return take_descriptor(of_thread, theirs)
    finally:
        os.close(of_thread)


def _close_inherited(pid: int, number: int, ours: int) -> None:
    """Close the copy that a child has if another thread forked in the instant it was open.

    A child may have a descriptor of its own of that number, a userfaultfd even: it is closed only if it is
    the very same open file as ours. Where that cannot be told, nothing is closed.
    """
    for child in child_processes({pid}):
        try:
            if not is_same_open_file(child.pid, number, os.getpid(), ours):
                continue
            with borrowed_thread(child.pid) as caller:
                caller.call(_SYS_CLOSE[os.uname().machine], number)
        except (OSError, TargetGone):  # it has no such descriptor: the usual case
            continue


def main() -> None:
    """Serve the socket whose number is the first argument."""
    be_last_to_end()
    gc.disable()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        with suppress(OSError):  # the dashboard was killed meanwhile
            connection.send(READY)
        serve(connection)


if __name__ == "__main__":
    main()
