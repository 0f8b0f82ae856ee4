"""Which programs are run, and which files of options they obey.

As root, only those that root alone can change: no option lifts that, for others would then decide what
root does. Any other user decides for themselves.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import NotTrusted
from engine.trust.walk import Walk, absolute

USUAL_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where programs are where nobody says."""

_HINT_PROGRAM: Final = (
    "root runs only what root alone can change: `chown root` and `chmod go-w` it and all above it, "
    "or install it elsewhere"
)
_HINT_FILE: Final = "copy it to where only root can write, as with `sudo install -m 600 FILE /root/`"


def find_program(name: str, directories: Iterable[str]) -> Path | None:
    """A program by its name; None if there is none.

    Args:
        name: without a slash.
        directories: where to look, in this order; what is no absolute path is left out.

    Raises:
        NotTrusted: there is none but one that others could exchange.
    """
    refusal: NotTrusted | None = None
    for directory in directories:
        if not os.path.isabs(directory):  # an empty one would mean the current directory
            continue
        try:
            return require_program(Path(directory, name))
        except NotTrusted as error:
            refusal = refusal or error
        except OSError:
            continue  # not there, or nothing that can be run: the next may be
    if refusal is not None:
        raise refusal
    return None


def require_program(path: Path) -> Path:
    """Make sure that a program may be run.

    Returns:
        Its absolute path, as it was given.

    Raises:
        NotTrusted: we are root, and others could exchange it.
        OSError: it is not there, or cannot be run.
    """
    program = absolute(path)
    with _walked_by_root(program, _HINT_PROGRAM) as real:
        if not stat.S_ISREG(os.stat(real).st_mode) or not os.access(real, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return program


def require_unchangeable(path: Path) -> None:
    """Make sure that a file or directory that a program of root's will use is root's; it need not be there.

    Raises:
        NotTrusted: we are root, and others could exchange it.
    """
    try:
        with _walked_by_root(path, _HINT_FILE, stops=True):
            return
    except OSError:
        return  # it leads nowhere: there is nothing to use


def read_obeyed(path: Path, most_bytes: int = 1 << 20) -> bytes:
    """The content of a file of options, read once.

    Raises:
        NotTrusted: we are root, and others could exchange or write it.
        OSError: it cannot be read, is no plain file, or is larger than that.
    """
    with _walked_by_root(path, _HINT_FILE) as real:
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is not a plain file", str(path))
            content = file.read(most_bytes + 1)
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, "it is too large for a file of options", str(path))
            return content


@contextmanager
def _walked_by_root(path: Path, hint: str, *, stops: bool = False) -> Iterator[Path]:
    """By which path to use a file: as root one that names the very file that was walked to."""
    if os.geteuid() != 0:
        yield path
        return
    walk = Walk(path, hint, stops=stops)
    try:
        yield Path(f"/proc/self/fd/{walk.end}")
    finally:
        walk.close()
