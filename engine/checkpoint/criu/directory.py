"""Where CRIU works: a link's `.partial` for its images, and a directory of its own for everything else.

CRIU makes its images readable to all, and writes log and statistics into the work directory. That one
lies beside the link and is removed in the end; the log goes on as `criu.log` in the link, or as `NAME.log`
beside it where no link came to be. `stats-dump` comes into the link last, as the sign that it is complete.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from engine.images.files import writing
from engine.images.layout import FILE_MODE, STATS, is_pages
from engine.images.partial import PartialDirectory

LOG: Final = "criu.log"

_NEW_STATS: Final = "new-stats.img"


class CriuDirectory(PartialDirectory):
    """The directory of a link that CRIU makes; `remove` has to be called in the end."""

    def __init__(self, path: Path) -> None:
        """Make it and the work directory. Errors as of `PartialDirectory`."""
        super().__init__(path)
        self.is_only_copy = False
        """Whether what it holds exists nowhere else any more: then nothing removes it."""
        try:
            with writing(self.path.parent, "make a directory for criu's log"):
                self.work = Path(
                    tempfile.mkdtemp(prefix=f".{self.path.name}.criu-", dir=os.fspath(self.path.parent))
                )
        except BaseException:
            super().remove()
            raise

    def fileno(self) -> int:
        """Its descriptor. Whoever inherits it keeps it from being taken for a dead writer's."""
        return self._fd

    @property
    def is_published(self) -> bool:
        """Whether it has its name."""
        return not self._partial

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
        self.names = os.listdir(self._fd)
        with writing(self.path, "make it private"), os.scandir(self._fd) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    os.chmod(entry.name, FILE_MODE, dir_fd=self._fd)

    def read_log(self) -> bytes:
        """What CRIU has logged; nothing if it did not get that far."""
        try:
            return (self.work / LOG).read_bytes()
        except FileNotFoundError:
            return b""

    def keep_log(self) -> Path | None:
        """Save the log from being removed, as `NAME.log` beside the link; where it is now."""
        kept = self.path.with_name(f"{self.path.name}.log")
        try:
            os.chmod(self.work / LOG, FILE_MODE)
            os.rename(self.work / LOG, kept)
        except OSError:  # there is none, or the disk is full: the error that follows says what it can
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
        with writing(self.path / LOG, "move it here"):
            if (self.work / LOG).exists():
                os.chmod(self.work / LOG, FILE_MODE)
                os.rename(self.work / LOG, LOG, dst_dir_fd=self._fd)
        self.sync(STATS)
        self.publish()

    def remove(self) -> None:
        """Remove it, unless it was finished or is to be kept, and the work directory."""
        if self._fd >= 0:
            shutil.rmtree(self.work, ignore_errors=True)
            self.names = [] if self.is_only_copy else os.listdir(self._fd)
        super().remove()
