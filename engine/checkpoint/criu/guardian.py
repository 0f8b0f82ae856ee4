"""The tiny process that has CRIU let go of its target if dirtytop cannot do so any more.

A dirtytop that is killed (SIGKILL, a machine without memory) leaves CRIU alone with a frozen target. CRIU
notices only when it has something to ask, which may be when it has copied everything, or never where it
hangs. This process does nothing but wait: for the end of CRIU, and then it ends too; or for that of
dirtytop, and then it gives the link up as dirtytop would have (`engine.checkpoint.criu.letting_go`).

It is told on a socket whom to watch over, one JSON object `{"criu": [pid, start], "root": [pid, start]}`,
says `READY` when it does, and sees by the end of that connection that dirtytop has ended, or leaves the rest
to it. It needs no NumPy.

Run by `engine.checkpoint.criu.guard`, as `python -I -m engine.checkpoint.criu.guardian FD`.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
from contextlib import suppress
from typing import Final

from engine.checkpoint.criu.letting_go import LettingGo
from engine.checkpoint.criu.remains import clear_remains
from engine.errors import TargetGone
from engine.kernel.last_to_end import be_last_to_end
from engine.kernel.process import Identity, require_same

READY: Final = b"ready"

_LARGEST_ORDER = 4096
_STEP_S = 0.05


def watch_over(criu: Identity, root: Identity, connection: socket.socket) -> None:
    """Wait for the end of CRIU, or of the connection, and then have CRIU let go."""
    try:
        pidfd = os.pidfd_open(criu.pid)
        require_same(criu)
    except (ProcessLookupError, TargetGone):
        return
    try:
        ends = select.poll()
        ends.register(pidfd, select.POLLIN)
        ends.register(connection, select.POLLIN | select.POLLHUP)
        with suppress(OSError):  # nobody waits for that any more
            connection.send(READY)
        if pidfd in dict(ends.poll()):
            return
        letting_go = LettingGo(criu, root)
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        while not ended.poll(_STEP_S * 1e3):
            letting_go.step()
    finally:
        os.close(pidfd)
    clear_remains(root)


def main() -> None:
    """Serve the socket whose number is the first argument."""
    be_last_to_end()
    gc.disable()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        order = connection.recv(_LARGEST_ORDER)
        if order:
            told = json.loads(order)
            watch_over(Identity(*told["criu"]), Identity(*told["root"]), connection)


if __name__ == "__main__":
    main()
