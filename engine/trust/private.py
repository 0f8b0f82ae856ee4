"""Directories that only dirtytop can enter: CRIU works in one, and reads its file of options there.

Each is made in a directory that only we can enter, and is locked for as long as it is in use. One that a
killed dirtytop has left is no longer locked, and is removed when the next one is made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.errors import LinkFailed, NotTrusted
from engine.trust.directory import OpenDirectory, open_directory
from engine.trust.walk import NEW_DIR_MODE

_WORK: Final = "work-"
_KEPT: Final = "kept-"


def _places() -> tuple[str, ...]:
    """Directories to hold them, by preference; /run is emptied by every boot."""
    mine = f"dirtytop-{os.geteuid()}"
    return ("/run/dirtytop", f"/tmp/{mine}", f"/var/tmp/{mine}")


class PrivateDirectory:
    """Empty at first, and gone in the end; whoever inherits its descriptor keeps it from being tidied up."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            LinkFailed: there is no place for it.
        """
        self._name = _WORK + secrets.token_hex(8)
        self._is_kept = False
        self._above, self._opened = _make(self._name)
        self.path: Final = self._opened.path

    def fileno(self) -> int:
        """Its descriptor."""
        return self._opened.fileno()

    def keep(self) -> Path:
        """Leave it there in the end, because the user is told of something in it; where it is from now on."""
        self._is_kept = True
        kept = _KEPT + self._name.removeprefix(_WORK)
        above = self._above.fileno()
        with suppress(OSError):  # then it stays where it is, until the next one is made
            os.rename(self._name, kept, src_dir_fd=above, dst_dir_fd=above)
            self._name = kept
        return self._above.path / self._name

    def remove(self) -> None:
        """Remove it, unless it is to be kept. Harmless if called again."""
        if self._opened.is_open and not self._is_kept:
            with suppress(OSError):  # what cannot be removed now is removed when the next one is made
                shutil.rmtree(self._name, dir_fd=self._above.fileno())
        self._opened.close()
        self._above.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self.remove()


def _make(name: str) -> tuple[OpenDirectory, OpenDirectory]:
    """Make a directory of this name; the one that it is in, and it."""
    reasons = []
    for place in _places():
        try:
            above = _open_place(Path(place))
            # Between its making and its lock, it would look like one that was left behind.
            fcntl.flock(above.fileno(), fcntl.LOCK_EX)
            try:
                _tidy_up(above)
                return above, _make_locked(name, above)
            finally:
                fcntl.flock(above.fileno(), fcntl.LOCK_UN)
        except (OSError, NotTrusted) as error:
            why = error.message if isinstance(error, NotTrusted) else os.strerror(error.errno or 0)
            reasons.append(f"{place}: {why}")
    raise LinkFailed(
        f"there is no directory that only dirtytop can look into ({'; '.join(reasons)})",
        hint=f"make room in {_places()[0]}",
    )


def _open_place(place: Path) -> OpenDirectory:
    with open_directory(place.parent) as parent:
        with suppress(FileExistsError):
            os.mkdir(place.name, NEW_DIR_MODE, dir_fd=parent.fileno())
        opened = OpenDirectory(parent.open_directory(place.name))
    status = os.fstat(opened.fileno())
    if status.st_uid != os.geteuid():
        opened.close()
        raise PermissionError(errno.EPERM, "it is another user's", str(place))
    os.fchmod(opened.fileno(), NEW_DIR_MODE)
    return opened


def _make_locked(name: str, above: OpenDirectory) -> OpenDirectory:
    os.mkdir(name, NEW_DIR_MODE, dir_fd=above.fileno())
    made = OpenDirectory(above.open_directory(name))
    os.fchmod(made.fileno(), NEW_DIR_MODE)
    fcntl.flock(made.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return made


def _tidy_up(above: OpenDirectory) -> None:
    """Remove what killed programs have left."""
    for name in os.listdir(above.fileno()):
        if not name.startswith(_WORK):
            continue
        with suppress(OSError), OpenDirectory(above.open_directory(name)) as left:
            fcntl.flock(left.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(name, dir_fd=above.fileno())
