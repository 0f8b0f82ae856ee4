"""Commands that a user is told to type next, quoted as a shell needs them."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.printable import printable


def restore_command(directory: Path, config_file: Path | None = None) -> str:
    """What restores the newest dump of a chain; printable.

    Args:
        directory: the chain's.
        config_file: of CRIU's options, if the dump was made with one: the restore may need it too.
    """
    words = ["dirtytop", "restore", str(directory)]
    if config_file is not None:
        words += ["--criu-config", str(config_file)]
    return printable(shlex.join(words))
