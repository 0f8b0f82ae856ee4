"""What CRIU obeys besides our requests: options in files, variables, plugins (criu/config.c, criu/plugin.c).

Its options can name programs for it to run (`action-script`). It reads /etc/criu/default.conf and
.criu/default.conf in the home directory, what the variable CRIU_CONFIG_FILE names, and what we name.
As root it is started only if all of these are root's alone; a home of another user is replaced by root's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.errors import LinkFailed
from engine.images.files import writing
from engine.images.layout import FILE_MODE
from engine.printable import printable
from engine.trust.environment import settle
from engine.trust.files import read_obeyed, require_unchangeable
from engine.trust.private import PrivateDirectory

_SYSTEM: Final = Path("/etc/criu/default.conf")
_OF_USER: Final = ".criu/default.conf"
_VARIABLES: Final = ("CRIU_CONFIG_FILE", "CRIU_LIBS_DIR")
"""Name a file of options, and the directory of plugins."""
_CONFIG: Final = "criu.conf"


def criu_environment() -> dict[str, str]:
    """The environment to start CRIU with.

    Raises:
        NotTrusted: it would obey a file that others can write or exchange.
    """
    environment = dict(os.environ)
    settle(environment)
    require_unchangeable(_SYSTEM)
    if "HOME" in environment:
        require_unchangeable(Path(environment["HOME"], _OF_USER))
    for name in _VARIABLES:
        if name in environment:
            environment[name] = os.path.abspath(environment[name])  # CRIU is started elsewhere
            require_unchangeable(Path(environment[name]))
    return environment


def write_config(work: PrivateDirectory, given: Path | None, more: str = "") -> str | None:
    """A file of options for one request, where nobody else can write; its path, None if there are none.

    Args:
        work: where to.
        given: the user's own file, which is read now.
        more: lines of ours, which come after it.

    Raises:
        NotTrusted: others can write or exchange the user's.
        LinkFailed: it cannot be read, or ours not be written.
    """
    if given is None and not more:
        return None
    path = work.path / _CONFIG
    try:
        content = read_obeyed(given) if given is not None else b""
    except OSError as error:
        raise LinkFailed(
            f"{printable(str(given))} cannot be read ({error.strerror})", hint="name another file of options"
        ) from error
    with writing(path, "write it"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(fd, "wb") as file:
            file.write(content + f"\n{more}\n".encode())
    return str(path)
