"""Whether a link on disk is still the one that was made."""

from __future__ import annotations

import os
from pathlib import Path

from engine.images.layout import common_path

Fingerprint = frozenset[tuple[str, int, int, int]]
"""Name, inode, size and time of modification (ns) of every file."""


def fingerprint(directory: Path) -> Fingerprint:
    """What can be told of a link without reading it; empty if it is gone."""
    try:
        entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(directory)]
    except OSError:  # gone, or no longer a directory: not what was made, whatever the reason
        return frozenset()
    return frozenset((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in entries)


def fingerprints_of(link: Path) -> list[tuple[Path, Fingerprint]]:
    """Of a link, after that of what several processes have in common of it, if there is such a part."""
    return [(path, fingerprint(path)) for path in (common_path(link), link) if path.is_dir()]
