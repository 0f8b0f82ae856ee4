"""Chains of image directories: found here, checked in `verify`, read in `memory`, joined in `flatten`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.errors import BadImage
from engine.images import limits
from engine.images.files import reading
from engine.images.flatten import flatten
from engine.images.layout import INVENTORY, PARENT, PARTIAL_SUFFIX, PSTREE, STATS, is_image, is_pagemap
from engine.images.link import ImageChain, Link, LinkInfo, list_names, read_link
from engine.images.memory import ChainMemory
from engine.images.verify import Problem, require_sound, verify
from engine.printable import printable

__all__ = [
    "ChainMemory",
    "ImageChain",
    "Link",
    "LinkInfo",
    "Problem",
    "flatten",
    "read_chain",
    "require_sound",
    "verify",
]

_MOST_DIGITS = 9
"""Of a link's number."""


def read_chain(directory: Path) -> ImageChain:
    """The chain that ends in a directory. Only what each link says of itself is read, not its pagemaps.

    Args:
        directory: a link, or a directory that holds links named 1, 2, …, of which the newest complete
            one is taken.

    Raises:
        BadImage: it holds no images, a link of the chain is incomplete or damaged, or a `parent` leads
            nowhere, or back into the chain, or the chain is longer than any.
        UnknownFormat: a link is newer than what we understand.
    """
    newest = _newest(directory)
    links: list[Link] = []
    seen: set[Path] = set()
    files = 0
    path: Path | None = newest.path
    while path is not None:
        link = read_link(path)
        if link.path in seen:
            raise BadImage(
                f"{printable(str(links[-1].path / PARENT))}: the chain runs in a circle, "
                f"{printable(str(link.path))} is its own ancestor"
            )
        seen.add(link.path)
        links.append(link)
        files += len(link.names)
        if len(links) > limits.CHAIN_LINKS or files > limits.CHAIN_FILES:
            raise BadImage(
                f"{printable(str(newest.path))}: the chain has more than {limits.CHAIN_LINKS} links, or "
                f"{limits.CHAIN_FILES} files"
            )
        path = link.parent
    return ImageChain(tuple(reversed(links)), newest.incomplete)


class _Newest(NamedTuple):
    """The link that is meant by a directory."""

    path: Path
    incomplete: tuple[Path, ...]
    """Those after it that lack what completes a link."""


def _newest(directory: Path) -> _Newest:
    names = list_names(directory)
    if {STATS, INVENTORY, PSTREE} & names or any(is_pagemap(name) for name in names):
        return _Newest(directory, ())
    shown = printable(str(directory))
    numbers = sorted((int(name) for name in names if _is_number(name)), reverse=True)
    incomplete: list[Path] = []
    for number in numbers:
        path = directory / str(number)
        with reading(path):
            is_complete, is_directory = (path / STATS).is_file(), path.is_dir()
        if is_complete:
            return _Newest(path, tuple(incomplete))
        # An empty directory, or one of something else, is no link at all.
        if is_directory and any(is_image(name) for name in list_names(path)):
            incomplete.append(path)
    if numbers:
        raise BadImage(f"{shown}: none of the links in it is complete")
    if directory.name.endswith(PARTIAL_SUFFIX):
        raise BadImage(f"{shown} has not been completed, or is just being written")
    raise BadImage(f"{shown} holds no images", hint="name a link, or the directory that holds links 1, 2, …")


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name[0] != "0" and len(name) <= _MOST_DIGITS
