"""Which part of the environment dirtytop uses, and hands to the programs that it starts.

Whoever starts dirtytop has set it, and is believed. But root often starts it from another user's
session, whose environment names that user's home and directories. What lies there is not root's word,
but that of whoever writes to them. So as root a variable that names such a place is replaced or left
out.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

from engine.errors import NotTrusted
from engine.trust.files import USUAL_PATH, require_unchangeable

_PLACES: Final = (
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "TMPDIR",
)
"""Name a directory in which root would write and believe what it reads; all can be done without."""


def search_path(environment: Mapping[str, str]) -> list[str]:
    """Where to look for programs.

    That is PATH without what is no absolute path, and as root without what others could exchange. Where
    nothing is left of it, or it is not set, it is the usual places.
    """
    named = [name for name in environment.get("PATH", "").split(os.pathsep) if os.path.isabs(name)]
    usual = list(USUAL_PATH)
    # An empty PATH would mean the current directory.
    return list(filter(_is_ours, named)) or list(filter(_is_ours, usual)) or usual


def settle(environment: MutableMapping[str, str]) -> None:
    """Change an environment to what may be used of it, in place."""
    environment["PATH"] = os.pathsep.join(search_path(environment))
    if os.geteuid() != 0:
        return
    if not _is_ours(environment.get("HOME", "")):
        environment["HOME"] = _home_of_root()
    for name in _PLACES:
        if name in environment and not _is_ours(environment[name]):
            del environment[name]


def _home_of_root() -> str:
    try:
        return pwd.getpwuid(0).pw_dir
    except KeyError:  # a container without users
        return "/root"


def _is_ours(place: str) -> bool:
    if not os.path.isabs(place):
        return False
    try:
        require_unchangeable(Path(place))
    except NotTrusted:
        return False
    return True
