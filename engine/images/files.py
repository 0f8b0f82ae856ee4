"""Files of an image directory, opened so that nobody can put another in their place.

A link may lie where others can write. Symbolic links are never followed, fifos and devices never
opened, and an `OSError` becomes one of our errors here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import BadImage, LinkFailed
from engine.printable import printable

_HINTS: Final = {
    errno.ENOSPC: "the file system is full: make room, or choose another directory",
    errno.EDQUOT: "your disk quota is used up: make room, or choose another directory",
    errno.EFBIG: "the file system, or `ulimit -f`, does not allow a file that large",
    errno.EROFS: "the file system is mounted read-only: choose another directory",
    errno.EACCES: "choose a directory that you may write to",
    errno.EPERM: "choose a directory that you may write to",
    errno.ENOENT: "make the directory first",
    errno.EIO: "the disk failed: see the kernel log",
}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an `OSError` while reading `path` into `BadImage`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise BadImage(f"{printable(str(path))} is missing") from error
        why = "it is a symbolic link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
        raise BadImage(f"{printable(str(path))}: cannot read it ({why})") from error


@contextmanager
def writing(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` while writing below `path` into `LinkFailed`."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise LinkFailed(
            f"{printable(str(path))}: cannot {doing} ({why})", hint=_HINTS.get(error.errno or 0, "")
        ) from error


@contextmanager
def open_image(path: Path) -> Iterator[int]:
    """A descriptor to read a plain file from.

    Raises:
        BadImage: it is missing, not ours to read, or something else than a plain file.
    """
    with reading(path):
        # Without O_NONBLOCK a fifo in its place would make us wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadImage(f"{printable(str(path))} is not a plain file")
        yield fd
    finally:
        os.close(fd)


def read_image(path: Path, most_bytes: int) -> bytes:
    """All of a plain file that may not be larger than this. Errors as of `open_image`, and

    Raises:
        BadImage: it is larger. Nothing of it is read then.
    """
    with open_image(path) as fd, reading(path), open(fd, "rb", closefd=False) as file:
        size_bytes = os.fstat(fd).st_size
        if size_bytes > most_bytes:
            raise BadImage(
                f"{printable(str(path))} has {size_bytes} bytes, "
                f"and such a file never has more than {most_bytes}"
            )
        return file.read(most_bytes)


def bypass_page_cache(fd: int) -> None:
    """Have writes to this new file go to the disk at once (O_DIRECT of open(2)), where its file system can.

    Memory for the page cache has to be found first, which can make a write take five times as long as the
    same write before, and what nobody will read soon would take the place of what is read. Data has to
    begin at a page of memory and be whole pages; what is not goes through the page cache all the same.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:  # tmpfs before Linux 6.6, and others that have no disk
            raise


def write_fully(fd: int, data: memoryview) -> None:
    """Write all of `data`, however little the kernel takes at a time."""
    while data:
        try:
            written = os.write(fd, data)
        except OSError as error:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
            # Not aligned as this file system wants it: through the page cache, then.
            fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            continue
        data = data[written:]
