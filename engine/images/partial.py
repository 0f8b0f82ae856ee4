"""A directory that appears under its name whole, or not at all.

It is filled as `NAME.partial` and then renamed. Every file in it is made anew, through the descriptor
of the directory, and never through a symbolic link.

A `.partial` left behind by a kill is replaced by the next one of the same name if it plainly is a
dead one of ours: owned by us, mode 0700, not locked by a living writer, nothing in it but the `parent`
link and plain files named as images are, and no `stats-dump`. Anything else is somebody's data and
makes us refuse.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import LinkFailed
from engine.images.files import write_fully, writing
from engine.images.layout import DIR_MODE, FILE_MODE, PARENT, PARTIAL_SUFFIX, SIDECAR, STATS, is_image
from engine.printable import printable

_OPEN_DIR: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_OWN_DIR: Final = _OPEN_DIR | os.O_NOFOLLOW
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PartialDirectory:
    """The directory `path` while it is being filled. `remove` has to be called in the end."""

    def __init__(self, path: Path) -> None:
        """Make it, in a directory that exists.

        Raises:
            LinkFailed: `path` exists, its directory cannot be written to, or a `.partial` is in the
                way that is not plainly a dead one of ours.
        """
        self.path = Path(os.path.abspath(path))
        self.names: list[str] = []
        """The files made so far."""
        self._partial = self.path.name + PARTIAL_SUFFIX
        self._fd = -1
        with writing(self.path.parent, "open this directory"):
            self._above = os.open(self.path.parent, _OPEN_DIR)
        try:
            if _exists(self.path.name, self._above):
                raise LinkFailed(f"{printable(str(self.path))} already exists", hint="choose another name")
            with writing(self.path, "make it"):
                self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        try:
            os.mkdir(self._partial, DIR_MODE, dir_fd=self._above)
        except FileExistsError:
            _remove_stale(self._partial, self._above, self.path.with_name(self._partial))
            os.mkdir(self._partial, DIR_MODE, dir_fd=self._above)
        self._fd = os.open(self._partial, _OPEN_OWN_DIR, dir_fd=self._above)
        if os.fstat(self._fd).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        # The umask may have taken bits away; the lock tells other writers that this one lives.
        os.fchmod(self._fd, DIR_MODE)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @property
    def partial_path(self) -> Path:
        """Where the files are until they are published."""
        return self.path.with_name(self._partial)

    def create(self, name: str) -> int:
        """A descriptor to write a new file with; the caller closes it."""
        with writing(self.path / name, "make it"):
            fd = os.open(name, _CREATE, FILE_MODE, dir_fd=self._fd)
            self.names.append(name)
            os.fchmod(fd, FILE_MODE)
        return fd

    def write(self, name: str, content: bytes) -> None:
        """Write a whole new file."""
        fd = self.create(name)
        try:
            with writing(self.path / name, "write it"):
                write_fully(fd, memoryview(content))
        finally:
            os.close(fd)

    def replace(self, name: str, replaced: str) -> None:
        """Give a file the name of another, which goes."""
        with writing(self.path / replaced, "replace it"):
            os.rename(name, replaced, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            self.names = [kept for kept in self.names if kept not in (name, replaced)] + [replaced]

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link."""
        with writing(self.path / name, "make it"):
            os.symlink(target, name, dir_fd=self._fd)
            self.names.append(name)

    def size_bytes(self, name: str) -> int:
        """How large a file is by now."""
        with writing(self.path / name, "look at it"):
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_size

    def sync(self, *names: str) -> None:
        """Make these files durable, or all there are, and the directory."""
        for name in names or self.names:
            if name != PARENT:
                self._sync_file(name)
        with writing(self.path, "make it durable"):
            os.fsync(self._fd)

    def _sync_file(self, name: str) -> None:
        with writing(self.path / name, "make it durable"):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def publish(self) -> None:
        """Give it its name, durably. Nothing can be added after that."""
        partial, name, above = self._partial, self.path.name, self._above
        with writing(self.path, "give it its name"):
            if _exists(name, above):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            # Should somebody make one just now: rename replaces nothing but an empty directory.
            os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
            try:
                os.fsync(above)
            except OSError:
                os.rename(name, partial, src_dir_fd=above, dst_dir_fd=above)
                raise
        self.names.clear()
        self._partial = ""

    def remove(self) -> None:
        """Remove it and what was made in it, unless it was published. Harmless if called again."""
        try:
            if self._fd >= 0 and self._partial:
                # Somebody else may have tidied up before us, or have put a file of their own here.
                for name in self.names:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=self._fd)
                with suppress(FileNotFoundError):
                    _remove_if_empty(self._partial, self._above)
        finally:
            self._partial = ""
            for fd in (self._fd, self._above):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._above = -1


def remove_orphan(path: Path) -> None:
    """Remove a complete link that nothing came to be built on, if there is one and it plainly is ours.

    Raises:
        LinkFailed: it may be something else, or cannot be removed.
    """
    with writing(path, "remove it"):
        above = os.open(path.parent, _OPEN_DIR)
        try:
            if _exists(path.name, above):
                _remove_stale(path.name, above, path, may_be_complete=True)
        finally:
            os.close(above)


def _exists(name: str, dir_fd: int) -> bool:
    try:
        os.lstat(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    return True


def _remove_if_empty(name: str, above: int) -> None:
    try:
        os.rmdir(name, dir_fd=above)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


def _remove_stale(name: str, above: int, shown: Path, *, may_be_complete: bool = False) -> None:
    """Remove a `.partial` that a killed writer has left.

    Raises:
        LinkFailed: it may be something else.
    """
    try:
        found = os.open(name, _OPEN_OWN_DIR, dir_fd=above)
    except NotADirectoryError as error:
        # A symbolic link too: O_DIRECTORY is looked at first.
        raise _in_the_way(shown, "it is not a directory") from error
    try:
        why = _why_not_stale(found, may_be_complete)
        if why:
            raise _in_the_way(shown, why)
        for entry in os.listdir(found):
            os.unlink(entry, dir_fd=found)
        os.rmdir(name, dir_fd=above)
    finally:
        os.close(found)


def _why_not_stale(found: int, may_be_complete: bool) -> str:
    """What speaks against this directory being a dead writer's; empty if nothing does."""
    status = os.fstat(found)
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(status.st_mode) != DIR_MODE:
        return "its permissions are not those of a link"
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another dirtytop is writing it"
    names = os.listdir(found)
    if STATS in names and not may_be_complete:
        return f"it holds a complete link; without {PARTIAL_SUFFIX} at the end of its name it can be used"
    for entry in names:
        mode = os.lstat(entry, dir_fd=found).st_mode
        expected = (
            stat.S_ISLNK(mode)
            if entry == PARENT
            else stat.S_ISREG(mode) and (is_image(entry) or entry in (SIDECAR, STATS))
        )
        if not expected:
            return "it holds other things than images"
    return ""


def _in_the_way(path: Path, why: str) -> LinkFailed:
    return LinkFailed(
        f"{printable(str(path))} is in the way: {why}",
        hint="look at it, then remove it or choose another name",
    )
