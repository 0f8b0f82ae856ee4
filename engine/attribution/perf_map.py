"""Names of code that was compiled at run time: `/tmp/perf-PID.map`.

So perf reads it, too (tools/perf/Documentation/jit-interface.txt). Node writes it with `--perf-basic-prof`,
CPython with `-X perf`, Java with an agent. It grows for as long as the program compiles, and a later line
overrules an earlier one of the same place.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from typing import Final

from engine.kernel.in_root import open_in_root

_MOST_BYTES: Final = 32 << 20


class PerfMap:
    """The map of one process, read further whenever an address is asked for that is not in it yet."""

    def __init__(self, pid: int, inner_pid: int) -> None:
        """Name it.

        Args:
            pid: whose.
            inner_pid: its pid in its own pid namespace, which is in the file's name.
        """
        self._pid = pid
        self._path = b"/tmp/perf-%d.map" % inner_pid
        self._at = 0
        self._rest = b""
        self._entries: dict[int, tuple[int, bytes]] = {}
        self._starts: list[int] = []

    def name_at(self, address: int) -> bytes | None:
        """What is called so there; None if nothing is."""
        found = self._find(address)
        if found is None and self._read_on():
            found = self._find(address)
        return found

    def _find(self, address: int) -> bytes | None:
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        size, name = self._entries[self._starts[at]]
        return name if address < self._starts[at] + size else None

    def _read_on(self) -> bool:
        """Read what has been added; False if nothing has."""
        try:
            descriptor = open_in_root(self._pid, self._path)
            owners = (0, os.stat(f"/proc/{self._pid}").st_uid)
        except OSError:
            return False
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            is_theirs = (
                stat.S_ISREG(status.st_mode) and status.st_uid in owners
            )  # anybody can make one in /tmp
            if not is_theirs or status.st_size <= self._at or self._at >= _MOST_BYTES:
                return False
            file.seek(self._at)
            data = self._rest + file.read(_MOST_BYTES - self._at)
            self._at = file.tell()
        lines = data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            words = line.split(b" ", 2)
            if len(words) == 3:
                try:
                    self._entries[int(words[0], 16)] = int(words[1], 16), words[2]
                except ValueError:
                    continue
        self._starts = sorted(self._entries)
        return True
