"""A directory that is reached once, by a walk, and used by its descriptor from then on."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.trust.walk import Walk, real_path

OPTION: Final = "--trust-directory"
"""What a user says on the command line who takes that on themselves."""

_HINT: Final = (
    "choose a directory that, with all those above it, only you and root can change; "
    f"or, if you trust everybody who can, say {OPTION}"
)
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OpenDirectory:
    """Open until `close`, or until nobody refers to it any more."""

    def __init__(self, fd: int, other: str = "") -> None:
        """Take over a descriptor.

        Args:
            fd: of a directory.
            other: who else may exchange it or what leads to it; empty if nobody can.
        """
        self._fd = fd
        self._closing = weakref.finalize(self, os.close, fd)
        self.path: Final = real_path(fd)
        """Where it was when it was opened; for people to read."""
        self.other: Final = other
        """Who else may exchange it or what leads to it, in words with its name; empty if nobody can."""

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed yet."""
        return self._closing.alive

    @property
    def is_ours(self) -> bool:
        """Whether nobody else can put something in the place of what it holds, or of itself."""
        return not self.other

    def has(self, name: str) -> bool:
        """Whether there is something of this name in it, be it a dangling link. Raises OSError."""
        try:
            os.lstat(name, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        return True

    def open_directory(self, name: str) -> int:
        """A descriptor to read a directory in it by, which is not led to by a link. Raises OSError."""
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=self._fd)

    def close(self) -> None:
        """Give the descriptor back. Harmless if called again."""
        self._closing()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def open_directory(
    path: Path, *, trusts: bool = False, makes: bool = False, stops: bool = False
) -> OpenDirectory:
    """Walk to a directory.

    Args:
        path: where it is.
        trusts: take it although others may exchange it or what leads to it; `is_ours` then tells.
        makes: make it and what is missing above it, private to us.
        stops: take the last directory on the way that is there.

    Raises:
        NotTrusted: others may exchange something on the way; without `trusts`, or a symbolic link.
        OSError: there is none, or it cannot be listed.
    """
    walk = Walk(path, _HINT, trusts=trusts, makes=makes, stops=stops)
    try:
        return OpenDirectory(os.open(os.curdir, _READ, dir_fd=walk.end), walk.other)
    finally:
        walk.close()
