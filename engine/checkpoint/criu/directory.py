"""Where CRIU works: a link's `.partial` for its images, and a private directory for everything else.

CRIU makes its images readable to all, and writes log and statistics into its work directory, from which it
also reads a file of options. That directory is not beside the link, where others may be able to exchange
it, but where only we can go. It is removed in the end; the log goes on as `criu.log` in the link, or as
`NAME.log` beside it where no link came to be. `stats-dump` comes into the link last, as the sign that it
is complete.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.images.files import writing
from engine.images.layout import FILE_MODE, STATS, is_pages
from engine.images.partial import PartialDirectory
from engine.trust.directory import OpenDirectory
from engine.trust.private import PrivateDirectory

LOG: Final = "criu.log"

_NEW_STATS: Final = "new-stats.img"
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CriuDirectory(PartialDirectory):
    """The directory of a link that CRIU makes; `remove` has to be called in the end."""

    def __init__(self, path: Path, above: OpenDirectory | None = None) -> None:
        """Make it and the work directory. Arguments and errors as of `PartialDirectory`."""
        self.is_only_copy = False
        """Whether what it holds exists nowhere else any more: then nothing removes it."""
        self.work = PrivateDirectory()
        """Where CRIU is started."""
        try:
            super().__init__(path, above)
        except BaseException:
            self.work.remove()
            raise

    def page_bytes(self) -> int:
        """How much page data there is by now."""
        total = 0
        with os.scandir(self._fd) as entries:
            for entry in entries:
                if is_pages(entry.name):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def adopt(self) -> None:
        """Take what CRIU has written for ours: readable to nobody else, synced and removed with the rest.

        Raises:
            LinkFailed: its permissions cannot be changed.
        """
        with writing(self.path, "make it private"):
            self.names = os.listdir(self._fd)
            with os.scandir(self._fd) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        os.chmod(entry.name, FILE_MODE, dir_fd=self._fd)

    def read_log(self) -> bytes:
        """What CRIU has logged; nothing if it did not get that far, or the disk gives it no more."""
        try:
            return (self.work.path / LOG).read_bytes()
        except OSError:
            return b""

    def keep_log(self) -> Path | None:
        """Save the log from being removed, as `NAME.log` beside the link; where it is now."""
        kept = self.path.with_name(f"{self.path.name}.log")
        above = self._above.fileno()
        if not (self.work.path / LOG).exists():
            return None
        try:
            with suppress(FileNotFoundError):  # of an earlier attempt
                if stat.S_ISREG(os.lstat(kept.name, dir_fd=above).st_mode):
                    os.unlink(kept.name, dir_fd=above)
            self._copy_log(kept.name, above)
        except OSError:  # the disk is full, say: the error that follows says what it can
            return None
        return kept

    def complete(self, stats: bytes) -> None:
        """Make it durable and mark it as complete; it still lacks its name.

        Args:
            stats: the content of `stats-dump`. If there is one already, this takes its place.

        Raises:
            LinkFailed: the disk would not take it.
        """
        self.adopt()
        self.sync()
        self.write(_NEW_STATS, stats)
        self.sync(_NEW_STATS)
        with writing(self.path / STATS, "write it"):
            os.rename(_NEW_STATS, STATS, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def finish(self) -> None:
        """Put the log in its place, and give the link its name. Errors as of `complete`."""
        if (self.work.path / LOG).exists():
            with suppress(OSError):  # no room for it: the link is worth more
                self._copy_log(LOG, self._fd)
        self.sync(STATS)
        self.publish()

    def _copy_log(self, name: str, directory: int) -> None:
        """Copy the log to a new file, or leave none. Raises OSError."""
        with open(self.work.path / LOG, "rb") as log:
            fd = os.open(name, _NEW_FILE, FILE_MODE, dir_fd=directory)
            try:
                with open(fd, "wb") as copy:
                    os.fchmod(fd, FILE_MODE)
                    shutil.copyfileobj(log, copy)
            except OSError:
                os.unlink(name, dir_fd=directory)
                raise

    def erase(self) -> None:
        """See `PartialDirectory.erase`; what is to be kept is left."""
        self.names = []
        if self._fd >= 0 and not self.is_only_copy:
            with suppress(OSError):  # then it is left: see `PartialDirectory.remove`
                self.names = os.listdir(self._fd)
        super().erase()

    def remove(self) -> None:
        """Remove it, unless it was finished or is to be kept, and the work directory."""
        self.work.remove()
        super().remove()


def find_log(link: Path, since_s: float = 0.0) -> Path | None:
    """The log of the CRIU that made a link, or failed to: in the link, or beside it as `NAME.log`.

    Args:
        link: the link's directory, whether it is there or not.
        since_s: what was last written before this, in seconds since 1970, is of another attempt.
    """
    for place in (link / LOG, link.with_name(f"{link.name}.log")):
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime >= since_s:
            return place
    return None
