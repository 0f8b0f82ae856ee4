"""Where userfaultfds of other processes come from: our side of `engine.tracking.uffd_helper`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from typing import Final

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
_ANSWER_TIMEOUT_S: Final = 30.0


class UffdSource:
    """A running helper process, started at the first request and used for all that follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def obtain(self, identity: Identity) -> tuple[int, int]:
        """A userfaultfd of that process, and for how many microseconds one thread of it was stopped.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: as the kernel decides.
        """
        with self._lock:
            connection = self._connection or self._start()
            request = {"pid": identity.pid, "start_ticks": identity.start_ticks}
            answer = b""
            descriptors: list[int] = []
            try:
                connection.send(json.dumps(request).encode())
                answer, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
                closed = connection.recv(65536)
            except OSError:
                closed = b""
            if not closed:
                for descriptor in descriptors:
                    os.close(descriptor)
                self._stop()
                raise DirtytopError(
                    f"process {identity.pid}: the helper that attaches to it ended early", pid=identity.pid
                )
        reply = json.loads(answer)
        if "error" in reply:
            kind = _ERRORS.get(reply["error"], DirtytopError)
            raise kind(reply["message"], pid=identity.pid, hint=reply["hint"])
        return descriptors[0], reply["stopped_us"]

    def close(self) -> None:
        """End the helper once it has answered; may be called twice."""
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
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
                    f"the helper that attaches to processes cannot be started: {printable(sys.executable)} "
                    f"({os.strerror(error.errno or 0)})"
                ) from error
        ours.settimeout(_ANSWER_TIMEOUT_S)
        self._connection = ours
        return ours

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._helper is not None:
            self._helper.wait()
            self._helper = None
