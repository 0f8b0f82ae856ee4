"""A directory that appears under its name whole, or not at all.

It is filled as `NAME.partial` and then renamed. Its parent directory is opened once, and everything is
done by the descriptors of the two. Every file is newly made, and never through a symbolic link. So it
does not matter what others do to either name meanwhile (`engine.trust` says who may).

A `.partial` left behind by a kill is replaced by the next one of the same name if it plainly is a dead
one of ours: owned by us, mode 0700, not locked by a living writer, nothing in it but the `parent` link
and plain files named as images are, and no `stats-dump`. Anything else is somebody's data and makes us
refuse.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from engine.errors import BadImage, LinkFailed
from engine.images.files import write_fully, writing
from engine.images.layout import (
    DIR_MODE,
    FILE_MODE,
    PARENT,
    PARTIAL_SUFFIX,
    SIDECAR,
    STATS,
    is_debug,
    is_image,
)
from engine.printable import printable
from engine.trust.directory import OpenDirectory, open_directory

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PartialDirectory:
    """The directory `path` while it is being filled. `remove` has to be called in the end."""

    def __init__(self, path: Path, above: OpenDirectory | None = None) -> None:
        """Make it, in a directory that exists.

        Args:
            path: what it will be.
            above: the directory that it is made in, which `path` is then only said to be in; None opens
                the one that `path` names, if nobody else can exchange it.

        Raises:
            NotTrusted: somebody else can.
            LinkFailed: `path` exists, its directory cannot be written to, or a `.partial` is in the
                way that is not plainly a dead one of ours.
        """
        self.path = Path(os.path.abspath(path))
        self.names: list[str] = []
        """The files made so far."""
        self._partial = self.path.name + PARTIAL_SUFFIX
        self._name = ""
        """What it is called by now; empty while it is not there."""
        self._is_published = False
        self._is_erased = False
        self._deciding = threading.Lock()
        """Held while it is decided which of the two it will be."""
        self._fd = -1
        with writing(self.path.parent, "open this directory"):
            self._above = open_directory(self.path.parent) if above is None else above
        self._closes_above = above is None
        try:
            with writing(self.path, "make it"):
                if self._above.has(self.path.name):
                    raise LinkFailed(
                        f"{printable(str(self.path))} already exists", hint="choose another name"
                    )
                self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        above = self._above.fileno()
        try:
            os.mkdir(self._partial, DIR_MODE, dir_fd=above)
        except FileExistsError:
            _remove_stale(self._partial, self._above, self.partial_path)
            os.mkdir(self._partial, DIR_MODE, dir_fd=above)
        self._name = self._partial
        self._fd = self._above.open_directory(self._partial)
        is_ours = os.fstat(self._fd).st_uid == os.geteuid()
        if not is_ours and self._above.is_ours:  # a server that lets root be nobody
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        # What was made just now is empty; what somebody has put in its place, most likely not.
        if not is_ours or os.listdir(self._fd):
            raise self._exchanged()
        # The umask may have taken bits away; the lock tells other writers that this one lives.
        os.fchmod(self._fd, DIR_MODE)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _exchanged(self) -> LinkFailed:
        return LinkFailed(
            f"{printable(str(self.partial_path))}: somebody has put another directory in its place",
            hint="choose a directory that nobody else can write to",
        )

    def _is_called(self, name: str) -> bool:
        """Whether it is this very directory that has a name."""
        try:
            found = os.lstat(name, dir_fd=self._above.fileno())
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def fileno(self) -> int:
        """Its descriptor. Whoever inherits it keeps it from being taken for a dead writer's."""
        return self._fd

    @property
    def is_published(self) -> bool:
        """Whether it has its name."""
        return self._is_published

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """By which path to read what is in it by now: one that leads to this very directory.

        Raises:
            BadImage: as it is raised inside, with the path that people know.
        """
        place = f"/proc/self/fd/{self._fd}"
        try:
            yield Path(place)
        except BadImage as error:
            known = error.message.replace(place, printable(str(self.partial_path)))
            raise type(error)(known, pid=error.pid, hint=error.hint) from error

    @property
    def partial_path(self) -> Path:
        """Where the files are until they are published; for people to read."""
        return self.path.with_name(self._partial)

    def create(self, name: str) -> int:
        """A descriptor to write a new file with; the caller closes it."""
        with writing(self.path / name, "make it"):
            fd = os.open(name, _CREATE, FILE_MODE, dir_fd=self._fd)
            self.names.append(name)
            try:
                os.fchmod(fd, FILE_MODE)
            except BaseException:
                os.close(fd)
                raise
        return fd

    def write(self, name: str, content: bytes) -> None:
        """Write a whole new file."""
        fd = self.create(name)
        with writing(self.path / name, "write it"):
            try:
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
        partial, name, above = self._partial, self.path.name, self._above.fileno()
        with writing(self.path, "give it its name"):
            if self._above.has(name):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            with self._deciding:
                if self._is_erased:
                    raise LinkFailed(f"{printable(str(self.path))} was given up")
                # Should somebody make one just now: rename replaces nothing but an empty directory.
                os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
                self._name = name
            try:
                if not self._is_called(name):
                    self._name = ""
                    raise self._exchanged()
                os.fsync(above)
            except OSError:
                os.rename(name, partial, src_dir_fd=above, dst_dir_fd=above)
                self._name = partial
                raise
        self.names.clear()
        self._is_published = True

    def erase(self) -> None:
        """Remove what `remove` would, but keep it open, because another thread may still be writing it.

        That thread can make nothing more in it, and cannot publish it. Harmless if called again.
        """
        with self._deciding:
            if self._is_published:
                return
            self._is_erased = True
        for name in tuple(self.names) if self._fd >= 0 else ():
            with suppress(OSError):
                os.unlink(name, dir_fd=self._fd)
        # If it was never opened, this removes it if it is empty, as it was made.
        with suppress(OSError):
            if self._name and (self._fd < 0 or self._is_called(self._name)):
                os.rmdir(self._name, dir_fd=self._above.fileno())

    def remove(self) -> None:
        """Remove it and what was made in it, unless it was published. Harmless if called again.

        What the disk or somebody else keeps us from removing is left: where it is plainly ours, the next
        one of its name removes it.
        """
        try:
            self.erase()
        finally:
            self._name = ""
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if self._closes_above:
                self._above.close()


def remove_orphan(path: Path, above: OpenDirectory | None = None) -> None:
    """Remove a complete link that nothing came to be built on, if there is one and it plainly is ours.

    Args:
        path: where it is.
        above: the directory that it is in, if it is open; see `PartialDirectory`.

    Raises:
        NotTrusted: others could exchange the directory.
        LinkFailed: it may be something else, or cannot be removed.
    """
    with writing(path, "remove it"):
        opened = above or open_directory(path.parent)
        try:
            if opened.has(path.name):
                _remove_stale(path.name, opened, path, may_be_complete=True)
        finally:
            if above is None:
                opened.close()


def _remove_stale(name: str, above: OpenDirectory, shown: Path, *, may_be_complete: bool = False) -> None:
    """Remove a `.partial` that a killed writer has left.

    Raises:
        LinkFailed: it may be something else.
    """
    try:
        found = above.open_directory(name)
    except NotADirectoryError as error:
        # A symbolic link too: O_DIRECTORY is looked at first.
        raise _in_the_way(shown, "it is not a directory") from error
    try:
        names = os.listdir(found)
        why = _why_not_stale(found, names, may_be_complete=may_be_complete)
        if not why and names and not above.is_ours:
            # Another directory of ours could have been given this name, for us to empty it.
            why = "others can rename it in this directory, so what it was is not known"
        if why:
            raise _in_the_way(shown, why)
        for entry in names:
            os.unlink(entry, dir_fd=found)
        os.rmdir(name, dir_fd=above.fileno())
    finally:
        os.close(found)


def _why_not_stale(found: int, names: list[str], *, may_be_complete: bool) -> str:
    """What speaks against this directory being a dead writer's; empty if nothing does."""
    status = os.fstat(found)
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    mode = stat.S_IMODE(status.st_mode)
    # An empty one may be of a writer that was killed before it could undo what the umask took away.
    if mode != DIR_MODE and (names or mode & ~DIR_MODE):
        return "its permissions are not those of a link"
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another dirtytop is writing it"
    if STATS in names and not may_be_complete:
        return f"it holds a complete link; without {PARTIAL_SUFFIX} at the end of its name it can be used"
    for entry in names:
        mode = os.lstat(entry, dir_fd=found).st_mode
        expected = (
            stat.S_ISLNK(mode)
            if entry == PARENT
            else stat.S_ISREG(mode) and (is_image(entry) or is_debug(entry) or entry in (SIDECAR, STATS))
        )
        if not expected:
            return "it holds things other than images"
    return ""


def _in_the_way(path: Path, why: str) -> LinkFailed:
    return LinkFailed(
        f"{printable(str(path))} is in the way: {why}",
        hint="look at it, then remove it or choose another name",
    )
