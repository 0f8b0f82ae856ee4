"""Writes long pieces of a file past the page cache, while the next are being read.

Memory for the page cache has to be found first, which on a busy machine costs many times the write itself,
and what is in it takes the place of what the target uses.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from engine.pageset import PAGE_SIZE

_PIECE_BYTES: Final = 4 << 20
_WORTH_IT: Final = 64 << 10
"""What is shorter waits for its turn in the page cache: a disk takes long for many small pieces."""


class DirectWriter:
    """Another way to write to an open file; used by one thread."""

    def __init__(self, fd: int) -> None:
        """Open the file of a descriptor again; where it cannot be written so, `put` says so each time."""
        self._thread: ThreadPoolExecutor | None = None
        self._buffers: list[mmap.mmap] = []
        self._written: list[Future[None]] = []
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:  # tmpfs before Linux 6.6, and others that have no disk
            self._fd = -1
            return
        self._thread = ThreadPoolExecutor(1, "writing")
        self._buffers = [mmap.mmap(-1, _PIECE_BYTES) for _ in range(2)]

    def put(self, offset: int, data: memoryview) -> int:
        """Have the beginning of some data written; how much that is, 0 if it is to be written otherwise.

        It has been copied when this returns, and is written some time before `settle` does.

        Raises:
            OSError: what was put before could not be written.
        """
        size = min(len(data), _PIECE_BYTES)
        if self._thread is None or size < _WORTH_IT or (offset | size) & (PAGE_SIZE - 1):
            return 0
        if len(self._written) == len(self._buffers):
            self._written.pop(0).result()
        buffer = self._buffers.pop(0)
        self._buffers.append(buffer)
        buffer[:size] = data[:size]
        self._written.append(self._thread.submit(self._write, buffer, size, offset))
        return size

    def _write(self, buffer: mmap.mmap, size: int, offset: int) -> None:
        done = 0
        while done < size:
            with memoryview(buffer) as whole, whole[done:size] as rest:
                try:
                    done += os.pwrite(self._fd, rest, offset + done)
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._leave_direct():
                        raise

    def _leave_direct(self) -> bool:
        """Go through the page cache from now on: this file system wants data aligned otherwise."""
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return bool(flags & os.O_DIRECT)

    def settle(self) -> None:
        """Wait until all is written. Raises OSError if it could not be."""
        while self._written:
            self._written.pop(0).result()

    def close(self) -> None:
        """Wait for what is being written, and let go of the file. Harmless if called again."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        for buffer in self._buffers:
            buffer.close()
        self._buffers.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
