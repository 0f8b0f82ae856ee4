"""Lets the root of a user namespace read the images that it is made again from.

CRIU reads images with the rights of the tree that it restores. Where that has a user namespace its root is an
ordinary user outside of it, whom images of 0600 and 0700 shut out ("Permission denied", of whichever image
comes first). So the group that is root's in there may read them: all of the dump, and of its parents what
restoring looks at. They stay ours, and nobody else may change them: anybody who can change images
decides what CRIU, as root, makes of them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from engine.errors import BadImage, LinkFailed
from engine.images.chain import read_chain
from engine.images.files import writing
from engine.images.framing import Magic, read_message
from engine.images.layout import is_pagemap, is_pages
from engine.images.link import ImageChain, Link
from engine.images.proto.userns_pb2 import UsernsEntry
from engine.printable import printable

_USERS: Final = "userns-"
_READ: Final = stat.S_IRGRP
_ENTER: Final = stat.S_IXGRP
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def mapped_group(dump: Link) -> int | None:
    """Which group the root of a dump's user namespace is of outside of it; None if it needs none.

    Raises:
        BadImage: the image that says so cannot be read.
    """
    for name in dump.names:
        if name.startswith(_USERS):
            entry = read_message(dump.path / name, Magic.USERNS, UsernsEntry)
            users = {extent.first: extent.lower_first for extent in entry.uid_map}
            groups = {extent.first: extent.lower_first for extent in entry.gid_map}
            return groups.get(0) if users.get(0) != os.geteuid() else None
    return None


def open_to_mapped_root(dump: Path, *, is_ours: bool) -> tuple[str, ...]:
    """Let the root of a user namespace read a dump that has just been made.

    Args:
        dump: where it is.
        is_ours: whether nobody else can exchange what leads there. If somebody can, he would have us
            look at something else and give rights to it: nothing is done then.

    Returns:
        Why it could not be done, in words, if it could not.
    """
    if not is_ours:
        return ()
    try:
        let_mapped_root_read(read_chain(dump))
    except (BadImage, LinkFailed) as error:
        return (f"the root of its user namespace may not read it: {error.message}",)
    return ()


def let_mapped_root_read(chain: ImageChain) -> None:
    """Let the root of a dump's user namespace read what it is restored from, if it has one and cannot.

    Args:
        chain: ends with that dump.

    Raises:
        BadImage: the image that says whom cannot be read.
        LinkFailed: ownership or permissions cannot be changed.
    """
    group = mapped_group(chain.links[-1])
    if group is None:
        return
    for link in chain.links:
        _let_read(link, group, whole=link is chain.links[-1])
    if len(chain.links) > 1:
        # `parent` leads through the directories that the links are in.
        for above in {link.path.resolve().parent for link in chain.links}:
            with writing(above, "let the root of the user namespace go through it"):
                fd = os.open(above, _DIRECTORY)
                try:
                    _open_to(fd, above, group, _ENTER)
                finally:
                    os.close(fd)


def _let_read(link: Link, group: int, *, whole: bool) -> None:
    with writing(link.path, "let the root of the user namespace read it"):
        directory = os.open(link.path, _DIRECTORY)
        try:
            _open_to(directory, link.path, group, _READ | _ENTER)
            for name in link.names:
                if whole or is_pagemap(name) or is_pages(name):
                    _open_file_to(directory, link.path / name, group)
        finally:
            os.close(directory)


def _open_file_to(directory: int, path: Path, group: int) -> None:
    if not stat.S_ISREG(os.lstat(path.name, dir_fd=directory).st_mode):
        return
    fd = os.open(path.name, _FILE, dir_fd=directory)
    try:
        _open_to(fd, path, group, _READ)
    finally:
        os.close(fd)


def _open_to(fd: int, path: Path, group: int, rights: int) -> None:
    """Give a group rights, unless it has them, or everybody; take none from another.

    Raises:
        LinkFailed: another group has rights there. OSError: they cannot be changed.
    """
    status = os.fstat(fd)
    mode = stat.S_IMODE(status.st_mode)
    of_everybody = mode << 3 & rights  # what others may is three bits further down
    if of_everybody == rights or (status.st_gid == group and mode & rights == rights):
        return
    if mode & stat.S_IRWXG and status.st_gid != group:
        raise LinkFailed(
            f"{printable(str(path))}: group {status.st_gid} has rights there, and group {group} needs "
            "them too",
            hint=f"`setfacl -m g:{group}:x` lets it through",
        )
    os.fchown(fd, -1, group)
    os.fchmod(fd, mode | rights)
