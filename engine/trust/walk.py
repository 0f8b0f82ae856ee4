"""Turns a path into a descriptor, once: each component is checked before the next is looked up in it.

Components are opened without following links. Symbolic links are followed by us, and only those that
nobody else can exchange. What the path leads to is settled when the walk ends. If every directory on the
way is ours, it can also be named again, by its path, without leading elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from pathlib import Path
from typing import Final

from engine.errors import NotTrusted
from engine.printable import printable
from engine.trust.owners import is_ours, is_shared, who_else_may_change

NEW_DIR_MODE: Final = 0o700

_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS: Final = 40
"""As the kernel has it."""


def real_path(fd: int) -> Path:
    """Where what a descriptor stands for is now, without symbolic links on the way."""
    return Path(os.readlink(f"/proc/self/fd/{fd}"))


def absolute(path: Path) -> Path:
    """The same path, seen from the root; `..` and symbolic links in it stay. Raises OSError."""
    return path if path.is_absolute() else Path(os.getcwd(), path)


class Walk:
    """One walk along a path; `end` is a descriptor (O_PATH) of what it leads to, until `close`."""

    def __init__(
        self, path: Path, hint: str, *, trusts: bool = False, makes: bool = False, stops: bool = False
    ) -> None:
        """Walk.

        Args:
            path: where to; a relative one begins at the current directory.
            hint: what the user can do where others may exchange something on the way.
            trusts: go on all the same, and remember it in `other`.
            makes: make directories that are missing, private to us.
            stops: end at the last directory that is there, and take what is missing for granted.

        Raises:
            NotTrusted: others may exchange something on the way; without `trusts`, or a symbolic link.
            OSError: the path does not lead anywhere.
        """
        self.other = ""
        """Who else may exchange something on the way, in words with its name; empty if nobody can."""
        self._path = path
        self._hint = hint
        self._trusts = trusts
        self._makes = makes
        self._stops = stops
        self._links = 0
        self._todo: deque[str] = deque()
        self.end = -1
        try:
            self._begin_at_root()
            self._todo.extend(str(absolute(path)).split(os.sep))
            while self._todo and self._step(self._todo.popleft()):
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the descriptor back. Harmless if called again."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def _begin_at_root(self) -> None:
        self._go_to(os.open(os.sep, _LOOK | os.O_DIRECTORY))

    def _go_to(self, fd: int) -> None:
        self.close()
        self.end = fd
        if who := who_else_may_change(os.fstat(fd)):
            self._meet(fd, who)

    def _meet(self, fd: int, who: str) -> None:
        """Somebody else has a hand in what a descriptor stands for."""
        where = real_path(fd)
        self.other = self.other or f"{printable(str(where))} {who}"
        if not self._trusts:
            raise self._refusal(self.other)

    def _refusal(self, why: str) -> NotTrusted:
        return NotTrusted(f"{printable(str(self._path))} is not safe from others: {why}", hint=self._hint)

    def _step(self, name: str) -> bool:
        """Go on to the next component; False if that is missing and is to be left missing."""
        if name in ("", os.curdir):
            return True
        try:
            fd = os.open(name, _LOOK, dir_fd=self.end)
        except FileNotFoundError:
            if self._stops:
                return False
            if not self._makes:
                raise
            self._make(name)
            fd = os.open(name, _LOOK, dir_fd=self.end)
        try:
            kind = os.fstat(fd).st_mode
            if stat.S_ISLNK(kind):
                self._follow(fd)
            elif stat.S_ISDIR(kind):
                # Once more: only with O_DIRECTORY is a file system mounted that is mounted when used.
                self._go_to(os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=self.end))
            elif any(self._todo):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            else:
                self._go_to(os.dup(fd))
        finally:
            os.close(fd)
        return True

    def _make(self, name: str) -> None:
        os.mkdir(name, NEW_DIR_MODE, dir_fd=self.end)
        fd = os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=self.end)
        try:
            status = os.fstat(fd)
            lacks = NEW_DIR_MODE & ~status.st_mode
            # The umask may have taken bits away. What others may have put in its place keeps its mode.
            if lacks and is_ours(status.st_uid) and not who_else_may_change(status):
                os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(status.st_mode) | NEW_DIR_MODE)
        finally:
            os.close(fd)

    def _follow(self, fd: int) -> None:
        """Put what a symbolic link says in its place."""
        holder, link = os.fstat(self.end), os.fstat(fd)
        if who_else_may_change(holder) or (is_shared(holder) and not is_ours(link.st_uid)):
            where = printable(str(real_path(fd)))
            raise self._refusal(f"{where} is a symbolic link, which others could make lead elsewhere")
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._path))
        target = os.readlink("", dir_fd=fd)
        if os.path.isabs(target):
            self._begin_at_root()
        self._todo.extendleft(reversed(target.split(os.sep)))
