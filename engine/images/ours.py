"""Whether only we can change images: what is restored gets the rights that they name, root's included."""

from __future__ import annotations

import os
import stat
from typing import Final

from engine.errors import NotTrusted
from engine.images.files import reading
from engine.images.layout import PARENT
from engine.images.link import ImageChain, Link
from engine.printable import printable
from engine.trust.directory import OPTION, open_directory
from engine.trust.owners import who_else_may_change

_HINT: Final = (
    "whoever can change images decides what is made from them, even with root's rights; "
    f"if you trust them: {OPTION}"
)


def require_ours(chain: ImageChain) -> None:
    """Make sure that nobody but root and us can change a chain, or put another in its place.

    Raises:
        NotTrusted: somebody else can. BadImage: it is not there any more.
    """
    for link in chain.links:
        try:
            _require_ours(link)
        except NotTrusted as error:
            raise NotTrusted(error.message, hint=_HINT) from error


def _require_ours(link: Link) -> None:
    with reading(link.path), open_directory(link.path) as place:
        for name in sorted(link.names):
            status = os.lstat(name, dir_fd=place.fileno())
            # A link can only be exchanged, and that is said of the directory.
            if not stat.S_ISLNK(status.st_mode) and (who := who_else_may_change(status)):
                where = printable(str(link.path / name))
                raise NotTrusted(f"{where} is not safe from others: it {who}")
    if link.parent is not None:
        with reading(link.path / PARENT):
            # Whoever restores goes by what the link says, and not by where it was found to lead.
            open_directory(link.path / PARENT).close()
