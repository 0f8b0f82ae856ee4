"""Whether a link on disk is still the one that was made."""

from __future__ import annotations

import os
from pathlib import Path

Fingerprint = frozenset[tuple[str, int, int, int]]
"""Name, inode, size and time of modification (ns) of every file."""


def fingerprint(directory: Path | int) -> Fingerprint:
    """What can be told of a link, by its path or descriptor, without reading it; empty if it is gone."""
    try:
        with os.scandir(directory) as files:
            entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in files]
    except OSError:  # gone, or no longer a directory: not what was made, whatever the reason
        return frozenset()
    return frozenset((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in entries)
