"""The directory of a chain: made if it is missing, private, never one that holds something else."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import LinkFailed, NotPermitted
from engine.images.files import writing
from engine.images.layout import is_image
from engine.printable import printable


def prepare(directory: Path) -> None:
    """Make the directory of a new chain, or make sure that it may be used.

    Raises:
        LinkFailed: it cannot be made, or holds images already.
        NotPermitted: it is not ours to write to.
    """
    shown = printable(str(directory))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = os.listdir(directory)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise LinkFailed(
            f"{shown} cannot be used for images ({why})", hint="choose another directory"
        ) from error
    if any(is_image(name) or name.isdecimal() for name in names):
        raise LinkFailed(f"{shown} holds images already", hint="choose a new or empty directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise NotPermitted(f"{shown}: not permitted to write there", hint="choose another directory")


def highest_number(directory: Path) -> int:
    """Of the links in a chain's directory, the number of the last; 0 if there is none.

    Raises:
        LinkFailed: the directory cannot be read.
    """
    with writing(directory, "list it"):
        return max((int(name) for name in os.listdir(directory) if name.isdecimal()), default=0)
