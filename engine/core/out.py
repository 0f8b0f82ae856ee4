"""The file that a core goes into: private, sparse, and there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.core.direct import DirectWriter
from engine.errors import LinkFailed
from engine.images.files import writing
from engine.images.layout import FILE_MODE
from engine.printable import printable
from engine.trust.directory import OpenDirectory

_NO_SUCH_KIND: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""What file systems say that have no files without a name (open(2), O_TMPFILE)."""


def require_free(above: OpenDirectory, name: str) -> None:
    """Make sure that a directory has nothing of this name. Raises LinkFailed."""
    if above.has(name):
        raise _in_the_way(above.path / name)


def _in_the_way(path: Path) -> LinkFailed:
    return LinkFailed(
        f"{printable(str(path))} is there already", hint="name another file, or remove that first"
    )


class CoreFile:
    """Written without a name where the file system can do that: not even SIGKILL leaves half a core then."""

    def __init__(self, above: OpenDirectory, name: str) -> None:
        """Make it.

        Args:
            above: the directory that it is to be in.
            name: how it will be called; nothing of this name may exist.

        Raises:
            LinkFailed: there is such a file, or none can be made.
        """
        self.path: Final = above.path / name
        self._above, self._name = above, name
        self._is_named = False
        self._temporary = ""
        self.written_bytes = 0
        """Of what it holds; the rest is holes."""
        require_free(above, name)
        with writing(self.path, "make it"):
            self._fd = self._make()
        self._direct = DirectWriter(self._fd)

    def _make(self) -> int:
        directory = self._above.fileno()
        try:
            return os.open(os.curdir, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE, dir_fd=directory)
        except OSError as error:
            if error.errno not in _NO_SUCH_KIND:
                raise
        self._temporary = f"{self._name}.{secrets.token_hex(4)}.partial"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._temporary, flags, FILE_MODE, dir_fd=directory)

    def put(self, offset: int, data: memoryview) -> None:
        """Write at a place. Raises LinkFailed if the disk would not take this, or what was put before."""
        self.written_bytes += len(data)
        with writing(self.path, "write it"):
            while data:
                written = self._direct.put(offset, data) or os.pwrite(self._fd, data, offset)
                offset += written
                data = data[written:]

    def end_at(self, size_bytes: int) -> None:
        """Make it so long; what was not put is zeros, and takes no room. Errors as of `put`."""
        with writing(self.path, "write it"):
            self._direct.settle()
            os.ftruncate(self._fd, size_bytes)

    def publish(self) -> None:
        """Give it its name.

        Raises:
            LinkFailed: a file of this name has come to be meanwhile.
        """
        source = self._temporary or f"/proc/self/fd/{self._fd}"
        directory = self._above.fileno()
        try:
            with writing(self.path, "give it its name"):
                os.link(
                    source,
                    self._name,
                    src_dir_fd=directory,
                    dst_dir_fd=directory,
                    follow_symlinks=not self._temporary,
                )
        except LinkFailed as error:
            if isinstance(error.__cause__, FileExistsError):
                raise _in_the_way(self.path) from error
            raise
        self._is_named = True

    def take_back(self) -> None:
        """Remove it again, because another core of the same tree could not be made."""
        if self._is_named:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._above.fileno())
            self._is_named = False

    def close(self) -> None:
        """Let go of it; without a name it is gone. Harmless if called again."""
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._above.fileno())
            self._temporary = ""
        self._direct.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
