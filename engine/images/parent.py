"""How a link names its parent, and which directories can be one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.errors import LinkFailed
from engine.images.files import writing
from engine.images.layout import PARTIAL_SUFFIX, STATS
from engine.printable import printable
from engine.trust.directory import OpenDirectory


def path_to_parent(link: Path, parent: Path, above: OpenDirectory | None) -> str:
    """What the `parent` of a link has to say: the path from inside the link to its parent.

    Args:
        link: which may not be there yet.
        parent: has to be a complete link.
        above: the directory that the link is made in; see `PartialDirectory`.

    Raises:
        LinkFailed: the parent is not there, or not complete.
    """
    if above is not None and parent.parent in (Path(os.path.abspath(link)).parent, above.path):
        # A sibling: named as what it is, wherever others have moved the two of them meanwhile.
        with writing(parent, "build on it"):
            _require_complete(parent, above.open_directory(parent.name))
        return os.path.join(os.pardir, parent.name)
    with writing(parent, "build on it"):
        real, at = parent.resolve(strict=True), link.absolute().parent.resolve(strict=True)
        _require_complete(parent, os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    return os.path.relpath(real, at / link.name)


def _require_complete(parent: Path, fd: int) -> None:
    """Make sure that a directory is a link that can be built on. The descriptor is closed."""
    try:
        is_complete = stat.S_ISREG(os.lstat(STATS, dir_fd=fd).st_mode)
    except FileNotFoundError:
        is_complete = False
    finally:
        os.close(fd)
    if not is_complete or parent.name.endswith(PARTIAL_SUFFIX):
        raise LinkFailed(
            f"{printable(str(parent))} cannot be built on: it is not a complete link (no {STATS})"
        )
