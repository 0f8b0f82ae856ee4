"""Places of our own: tests and benches read nobody's settings, and leave nothing behind."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def own_directory(purpose: str) -> Path:
    """A new directory, which goes when this program ends."""
    directory = Path(tempfile.mkdtemp(prefix=f"dirtytop-{purpose}-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not a process that was forked from this one
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def leave_the_users_home() -> None:
    """Have this program, and what it starts, keep settings and state in a directory of its own."""
    directory = own_directory("home")
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[variable] = str(directory / variable.lower())
