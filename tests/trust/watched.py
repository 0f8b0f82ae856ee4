"""Tells whether anything was done to a directory, or looked at in it: inotify(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

_ALL_EVENTS = 0xFFF
_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC
_EVENT = struct.Struct("=iIII")
_CLOSED = 0x18  # without an open before it, as of what the test itself has had open


class Watched:
    """From `with` on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_NONBLOCK)
        for path in (self._directory, *self._directory.rglob("*")):
            if libc.inotify_add_watch(self._fd, os.fsencode(path), _ALL_EVENTS) < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def events(self) -> list[tuple[str, str]]:
        """What has happened so far: kind of event in hexadecimal, and name."""
        found = []
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return []
        at = 0
        while at < len(data):
            _, mask, _, size = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = data[at : at + size].rstrip(b"\0").decode()
            at += size
            if not mask & _CLOSED:
                found.append((hex(mask), name))
        return found
