"""Where userfaultfds of other processes come from: our side of `engine.tracking.uffd_helper`."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Final

from engine.errors import (
    AlreadyTraced,
    DirtytopError,
    KernelThread,
    NotPermitted,
    NotSupported,
    TargetGone,
)
from engine.kernel.process import Identity
from engine.printable import printable

_ERRORS: Final = {
    kind.__name__: kind for kind in (TargetGone, NotPermitted, AlreadyTraced, NotSupported, KernelThread)
}
_START_TIMEOUT_S: Final = 20.0
_ANSWER_TIMEOUT_S: Final = 5.0
"""Far longer than a stop may take to be given up (`STOP_TIMEOUT_S`)."""
_ENDING_S: Final = 1.0
_LONGEST_ANSWER: Final = 65536


class _Killed(DirtytopError):
    """The helper has ended without an answer."""


class UffdSource:
    """A running helper process, started at the first request and used for all that follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def obtain(self, identity: Identity) -> tuple[int, int]:
        """A userfaultfd of that process, and for how many microseconds one thread of it was stopped.

        If the helper is killed, another one tidies up behind it and is asked instead, once.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: as the kernel decides.
            DirtytopError: the second helper has ended too, or one does not answer in time.
        """
        with self._lock:
            try:
                descriptors, reply = self._ask_or_tidy_up(identity)
            except _Killed:
                descriptors, reply = self._ask_or_tidy_up(identity)
        if "error" in reply:
            kind = _ERRORS.get(reply["error"], DirtytopError)
            raise kind(reply["message"], pid=identity.pid, hint=reply["hint"])
        return descriptors[0], reply["stopped_us"]

    def _ask_or_tidy_up(self, identity: Identity) -> tuple[list[int], dict[str, Any]]:
        """The helper's answer, and the descriptors that came with it.

        Raises:
            _Killed: it has ended, and nothing is left of it.
            DirtytopError: it does not answer in time.
        """
        try:
            return self._ask(identity)
        except OSError as error:
            failure = self._failure(identity.pid, error)
            if not isinstance(error, TimeoutError):
                self._tidy_up(identity)
            raise failure from error

    def _tidy_up(self, identity: Identity) -> None:
        """The helper was killed, perhaps while the target had a descriptor for us: have that closed.

        What goes wrong with that is not told: the caller has an error to tell already.
        """
        try:
            self._ask(identity, is_tidying=True)
        except OSError:
            self._stop()

    def _ask(self, identity: Identity, *, is_tidying: bool = False) -> tuple[list[int], dict[str, Any]]:
        """The helper's answer, and the descriptors that came with it. Errors as of `_receive`."""
        request = {"pid": identity.pid, "start_ticks": identity.start_ticks, "is_tidying": is_tidying}
        descriptors: list[int] = []
        try:
            connection = self._connection or self._start(identity.pid)
            connection.send(json.dumps(request).encode())
            answer = self._receive(connection, descriptors)
            self._receive(connection, descriptors)
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors, json.loads(answer)

    def _receive(self, connection: socket.socket, descriptors: list[int]) -> bytes:
        """The helper's next message. A helper that does not answer is woken once, in case it was stopped.

        Raises:
            OSError: it has ended (ConnectionResetError), or still does not answer (TimeoutError).
        """
        assert self._helper is not None
        try:
            message, received, _, _ = socket.recv_fds(connection, _LONGEST_ANSWER, 1)
        except TimeoutError:
            # It may hold a thread of the target while it is stopped itself.
            self._helper.send_signal(signal.SIGCONT)
            message, received, _, _ = socket.recv_fds(connection, _LONGEST_ANSWER, 1)
        descriptors.extend(received)
        if not message:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return message

    def _failure(self, pid: int, error: OSError) -> DirtytopError:
        """What to tell of a helper that gave no answer; it is let go, and another one started next time."""
        assert self._helper is not None
        helper_pid = self._helper.pid
        self._stop()
        if isinstance(error, TimeoutError):
            return DirtytopError(
                f"process {pid}: the helper that attaches to it does not answer (pid {helper_pid})",
                pid=pid,
                hint=f"is it stopped, or its cgroup frozen? `kill -CONT {helper_pid}` lets it end",
            )
        return _Killed(
            f"process {pid}: the helper that attaches to it ended early, and so did a second one",
            pid=pid,
            hint="something may be killing it: the kernel log tells whether it was for lack of memory",
        )

    def close(self) -> None:
        """End the helper once it has answered; may be called twice."""
        with self._lock:
            self._stop()

    def _start(self, pid: int) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._helper = subprocess.Popen(
                    [sys.executable, "-I", "-m", "engine.tracking.uffd_helper", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise DirtytopError(
                    f"process {pid}: the helper that attaches to it cannot be started: "
                    f"{printable(sys.executable)} ({os.strerror(error.errno or 0)})",
                    pid=pid,
                ) from error
        self._connection = ours
        ours.settimeout(_START_TIMEOUT_S)
        self._receive(ours, [])
        ours.settimeout(_ANSWER_TIMEOUT_S)
        return ours

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._helper is not None:
            # Without a connection it ends by itself. To kill it could leave a thread with registers of ours.
            with suppress(subprocess.TimeoutExpired):
                self._helper.wait(_ENDING_S)
            self._helper = None
