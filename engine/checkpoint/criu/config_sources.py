"""Where CRIU finds options besides our request, and the file of them that each request names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.checkpoint.criu.config_file import ConfigFile, Use, request_config
from engine.errors import LinkFailed
from engine.images.files import writing
from engine.printable import printable

_SYSTEM: Final = Path("/etc/criu/default.conf")
_OF_USER: Final = Path(".criu/default.conf")
_VARIABLE: Final = "CRIU_CONFIG_FILE"
_NAME: Final = "criu.conf"
_MOST_BYTES: Final = 1 << 20


def write_request_config(
    work: Path,
    use: Use,
    given: Path | None,
    *,
    ours: Sequence[str] = (),
    ends_target: bool = False,
) -> str | None:
    """Write the file of options for one request; its path, None if the request needs none.

    Args:
        work: CRIU's work directory, where it is written.
        use: what is asked for.
        given: the user's own file, for this request.
        ours: lines of our own.
        ends_target: whether the target is to be ended by a dump.

    Raises:
        NotSupported: a file sets what would break what is asked for.
        LinkFailed: one cannot be read, or ours not be written.
    """
    text = _text(use, given, ours, ends_target=ends_target)
    if not text:
        return None
    path = work / _NAME
    with writing(path, "write it"):
        path.write_bytes(text)
    return str(path)


def require_config(use: Use, given: Path | None) -> None:
    """Make sure beforehand that no file of options is in the way. Arguments and errors as above."""
    _text(use, given, (), ends_target=False)


def _text(use: Use, given: Path | None, ours: Sequence[str], *, ends_target: bool) -> bytes:
    others = [_read(path) for path in _others(os.environ) if path.exists()]
    user = None if given is None else _read(given)
    return request_config(use, user, others, ours=ours, ends_target=ends_target)


def _others(environment: Mapping[str, str]) -> list[Path]:
    """The files that CRIU reads in any case, in its order."""
    paths = [_SYSTEM]
    if "HOME" in environment:
        paths.append(Path(environment["HOME"], _OF_USER))
    if environment.get(_VARIABLE):
        paths.append(Path(environment[_VARIABLE]))
    return paths


def _read(path: Path) -> ConfigFile:
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise LinkFailed(
            f"{printable(str(path))} cannot be read ({os.strerror(error.errno or 0)})"
        ) from error
    if len(text) > _MOST_BYTES:
        raise LinkFailed(f"{printable(str(path))} is too large for a file of options")
    return ConfigFile(str(path), text)
