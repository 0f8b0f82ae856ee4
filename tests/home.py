"""A home of our own: tests and benches read nobody's settings, and leave none."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def leave_the_users_home() -> None:
    """Have this program, and what it starts, keep settings and state where they go when it ends."""
    directory = tempfile.mkdtemp(prefix="dirtytop-home-")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not a process that was forked from this one
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[variable] = os.path.join(directory, variable.lower())
