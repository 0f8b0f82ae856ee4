"""Our side of `engine.checkpoint.criu.guardian`, the process that watches over one CRIU and outlives us."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Final

from engine.checkpoint.criu.guardian import READY
from engine.errors import NotSupported
from engine.kernel.process import Identity

_STARTING_S: Final = 20.0
"""How long it may take to start, on a slow machine."""
_ENDING_S: Final = 1.0


class Guard:
    """A guardian, from its start until `close`."""

    def __init__(self, criu: Identity, root: Identity) -> None:
        """Start it; see `wait_until_ready`.

        Args:
            criu: what it watches over.
            root: of the tree that CRIU is to work on.

        Raises:
            NotSupported: it cannot be started.
        """
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(_STARTING_S)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-m", "engine.checkpoint.criu.guardian", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except OSError as error:
            self._ours.close()
            raise _no_guardian(os.strerror(error.errno or 0)) from error
        with suppress(OSError):  # somebody has killed it: `wait_until_ready` says so
            self._ours.send(json.dumps({"criu": criu, "root": root}).encode())

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Until it watches: no tree is to be frozen before.

        Raises:
            NotSupported: it does not come to that.
        """
        try:
            is_ready = self._ours.recv(len(READY)) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            raise _no_guardian(f"pid {self.pid} does not answer")

    def close(self) -> None:
        """We need it no longer: if CRIU has ended, so does it; if not, the rest is left to it."""
        self._ours.close()
        # One that somebody has stopped is not waited for.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_S)


def _no_guardian(why: str) -> NotSupported:
    return NotSupported(f"the process that watches over criu cannot be started ({why})")
