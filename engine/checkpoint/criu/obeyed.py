"""What CRIU obeys besides our requests: options in files, variables, plugins (criu/config.c, criu/plugin.c).

Its options can name programs for it to run (`action-script`). It reads /etc/criu/default.conf and
.criu/default.conf in the home directory, what the variable CRIU_CONFIG_FILE names, and what we name.
As root it is started only if all of these are root's alone; a home of another user is replaced by root's.
What they may say is decided in `engine.checkpoint.criu.config_file`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.checkpoint.criu.config_file import ConfigFile, Use, request_config
from engine.errors import LinkFailed
from engine.images.files import writing
from engine.images.layout import FILE_MODE
from engine.printable import printable
from engine.trust.environment import settle
from engine.trust.files import read_obeyed, require_unchangeable
from engine.trust.private import PrivateDirectory

_SYSTEM: Final = Path("/etc/criu/default.conf")
_OF_USER: Final = Path(".criu/default.conf")
_VARIABLE: Final = "CRIU_CONFIG_FILE"
PLUGINS_VARIABLE: Final = "CRIU_LIBS_DIR"
"""Names the directory of plugins."""
_CONFIG: Final = "criu.conf"


def option_files(environment: Mapping[str, str]) -> list[Path]:
    """The files of options that CRIU reads unasked, the last of which overrules the others."""
    paths = [_SYSTEM]
    if "HOME" in environment:
        paths.append(Path(environment["HOME"], _OF_USER))
    if environment.get(_VARIABLE):
        paths.append(Path(environment[_VARIABLE]))
    return paths


def criu_environment() -> dict[str, str]:
    """The environment to start CRIU with.

    Raises:
        NotTrusted: it would obey a file that others can write or exchange.
    """
    environment = dict(os.environ)
    settle(environment)
    for name in (_VARIABLE, PLUGINS_VARIABLE):
        if environment.get(name):
            environment[name] = os.path.abspath(environment[name])  # CRIU is started elsewhere
    for path in option_files(environment):
        require_unchangeable(path)
    if environment.get(PLUGINS_VARIABLE):
        require_unchangeable(Path(environment[PLUGINS_VARIABLE]))
    return environment


def require_config(use: Use, given: Path | None) -> None:
    """Make sure beforehand that no file of options is in the way. Errors as of `write_config`."""
    _text(use, given, (), ends_target=False)


def write_config(
    work: PrivateDirectory,
    use: Use,
    given: Path | None,
    *,
    ours: Sequence[str] = (),
    ends_target: bool = False,
) -> str | None:
    """The file of options for one request, where nobody else can write; its path, None if it needs none.

    Args:
        work: where to.
        use: what is asked for.
        given: the user's own file, which is read now.
        ours: lines of our own.
        ends_target: whether the target is to be ended by a dump.

    Raises:
        NotTrusted: others can write or exchange a file.
        NotSupported: a file sets what would break what is asked for.
        LinkFailed: one cannot be read, or ours not be written.
    """
    text = _text(use, given, ours, ends_target=ends_target)
    if not text:
        return None
    path = work.path / _CONFIG
    with writing(path, "write it"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(fd, "wb") as file:
            file.write(text)
    return str(path)


def _text(use: Use, given: Path | None, ours: Sequence[str], *, ends_target: bool) -> bytes:
    others = [_read(path) for path in option_files(criu_environment()) if path.exists()]
    user = None if given is None else _read(given)
    return request_config(use, user, others, ours=ours, ends_target=ends_target)


def _read(path: Path) -> ConfigFile:
    try:
        text = read_obeyed(path)
    except OSError as error:
        raise LinkFailed(
            f"{printable(str(path))} cannot be read ({error.strerror})", hint="name another file of options"
        ) from error
    return ConfigFile(str(path), text)
