"""Chains of image directories: found here, checked in `verify`, read in `memory`, joined in `flatten`."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import BadImage
from engine.images.files import reading
from engine.images.flatten import flatten
from engine.images.layout import INVENTORY, PARENT, PARTIAL_SUFFIX, PSTREE, STATS, is_pagemap
from engine.images.link import Chain, Link, LinkInfo, read_link
from engine.images.memory import ChainMemory
from engine.images.verify import Problem, verify
from engine.printable import printable

__all__ = ["Chain", "ChainMemory", "Link", "LinkInfo", "Problem", "flatten", "read_chain", "verify"]


def read_chain(directory: Path) -> Chain:
    """The chain that ends in a directory.

    Args:
        directory: a link, or a directory that holds links named 1, 2, …, of which the newest complete
            one is taken.

    Raises:
        BadImage: it holds no images, a link of the chain is incomplete or damaged, or a `parent` is
            absolute, leads nowhere, or leads back into the chain.
    """
    links: list[Link] = []
    seen: set[Path] = set()
    path: Path | None = _newest(directory)
    while path is not None:
        link = read_link(path)
        if link.path in seen:
            raise BadImage(
                f"{printable(str(links[-1].path / PARENT))}: the chain runs in a circle, "
                f"{printable(str(link.path))} is its own ancestor"
            )
        seen.add(link.path)
        links.append(link)
        path = link.parent
    return Chain(tuple(reversed(links)))


def _newest(directory: Path) -> Path:
    """The link that is meant by a directory."""
    with reading(directory):
        names = os.listdir(directory)
    if {STATS, INVENTORY, PSTREE} & set(names) or any(is_pagemap(name) for name in names):
        return directory
    shown = printable(str(directory))
    numbers = [int(name) for name in names if name.isascii() and name.isdecimal() and name[0] != "0"]
    complete = [number for number in numbers if (directory / str(number) / STATS).is_file()]
    if complete:
        return directory / str(max(complete))
    if numbers:
        raise BadImage(f"{shown}: none of the links in it is complete")
    if directory.name.endswith(PARTIAL_SUFFIX):
        raise BadImage(f"{shown} has not been completed, or is just being written")
    raise BadImage(f"{shown} holds no images", hint="name a link, or the directory that holds links 1, 2, …")
