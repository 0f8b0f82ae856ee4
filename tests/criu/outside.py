"""What lies outside of a tree, for targets of `tests.targets.held` to connect to: sockets and terminals."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.criu.outliving import Outliving
from tests.targets.held.main import COMMAND

CANNOT = "cannot: "

_libc = ctypes.CDLL(None, use_errno=True)
_DETACH = 2


class Outside:
    """In a directory: `accepts` and `waits`, which listen, `datagrams`, and the names of two terminals."""

    def __init__(self, directory: Path) -> None:
        self._accepts = _listening(directory / "accepts")
        self._others = [_listening(directory / "waits")]
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagrams.bind(str(directory / "datagrams"))
        self._others.append(datagrams)
        self._terminals = [os.openpty() for _ in range(2)]
        names = [os.ttyname(slave) for _, slave in self._terminals]
        (directory / "terminals").write_text("\n".join(names))

    def accept(self) -> None:
        """Take the connections that wait at `accepts`."""
        self._accepts.setblocking(False)
        try:
            while True:
                self._others.append(self._accepts.accept()[0])
        except BlockingIOError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._accepts, *self._others):
            each.close()
        for pair in self._terminals:
            for descriptor in pair:
                os.close(descriptor)


def _listening(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


class Held(Outliving):
    """A process that holds one thing; `first_answer` says why it cannot, if so."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._outside = Outside(directory)
        super().__init__(directory, *COMMAND, kind, directory)
        self._outside.accept()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        _libc.umount2(os.fsencode(self.directory / "there"), _DETACH)  # if there is a mount, it hides a file
        self._outside.__exit__(kind, error, trace)
