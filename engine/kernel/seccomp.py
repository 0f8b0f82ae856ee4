"""A program of ours that has to ask before it makes one certain `ioctl`: seccomp_unotify(2).

Nobody is stopped by that but the program itself, while it waits for the answer. When the descriptor is
closed, also because we were killed, the calls that it would have asked for fail (ENOSYS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.kernel import ask_before_ioctl
from engine.kernel.libc import ioctl

_RECEIVE: Final = 0xC0502100
_ANSWER: Final = 0xC0182101
_LET_THROUGH: Final = 1
"""SECCOMP_USER_NOTIF_FLAG_CONTINUE (Linux 5.5)."""


class _Notification(ctypes.Structure):
    """`struct seccomp_notif`, and the `struct seccomp_data` in it."""

    _fields_ = (
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("number", ctypes.c_int32),
        ("architecture", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class _Response(ctypes.Structure):
    """`struct seccomp_notif_resp`."""

    _fields_ = (
        ("id", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class IoctlCall:
    """A call that is waiting for our word."""

    id: int
    pid: int
    """Who makes it."""
    descriptor: int
    """The caller's, of the file that the call is about."""
    argument: int
    """The address, in the caller, of what it passes."""


class Listener:
    """Where a program asks."""

    def __init__(self, descriptor: int) -> None:
        """Take the descriptor over."""
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Readable while a call waits; hung up when everybody who could ask has ended."""
        return self._descriptor

    def receive(self) -> IoctlCall | None:
        """The next call, which `poll` has told of; None if its caller has ended meanwhile."""
        notification = _Notification()
        try:
            ioctl(self._descriptor, _RECEIVE, notification)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return None
        arguments = notification.arguments
        return IoctlCall(notification.id, notification.pid, int(arguments[0]), int(arguments[2]))

    def let_through(self, call: IoctlCall) -> None:
        """Let the kernel do what was asked for."""
        self._respond(_Response(id=call.id, flags=_LET_THROUGH))

    def answer(self, call: IoctlCall, result: int) -> None:
        """Return a result to the caller, instead of the kernel."""
        self._respond(_Response(id=call.id, result=result))

    def _respond(self, response: _Response) -> None:
        try:
            ioctl(self._descriptor, _ANSWER, response)
        except OSError as error:
            if error.errno != errno.ENOENT:  # the caller was killed meanwhile
                raise

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def asking_command(connection: socket.socket, request: int, program: Path) -> list[str]:
    """How to start a program that is to ask before `request`; its arguments follow.

    Args:
        connection: what it inherits to say where it asks; see `receive_listener`.
        request: the second argument of the `ioctl`.
        program: an absolute path.
    """
    script = str(Path(ask_before_ioctl.__file__))
    return [sys.executable, "-I", "-S", script, str(connection.fileno()), str(request), str(program)]


def receive_listener(connection: socket.socket) -> Listener | None:
    """What the program sends first; None if it will not ask, or has ended before it could say so."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    return Listener(descriptors[0]) if descriptors else None
