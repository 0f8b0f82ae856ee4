"""The directory of a chain: made if it is missing, private, never one that holds something else.

It is opened once, when the chain is begun, and used by its descriptor: what the user was told of it then
holds for every link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine.checkpoint.fingerprint import Fingerprint, fingerprint
from engine.errors import LinkFailed, NotPermitted, NotTrusted
from engine.images.chain import ImageChain
from engine.images.files import writing
from engine.images.layout import common_path, is_image, pagemap_pid
from engine.images.ours import require_ours
from engine.images.pagemap import read_pagemap
from engine.pageset import PageSet
from engine.printable import printable
from engine.trust.directory import OpenDirectory, open_directory


@dataclass(frozen=True, slots=True)
class Listing:
    """What a link says that it holds, or that an older one does."""

    name: str
    """Of the link, in the chain's directory."""
    pages: Mapping[int, PageSet]
    """Every page of a process, by the pid that the process knows itself by."""


class ChainDirectory:
    """Where the links of a chain are made."""

    def __init__(self, path: Path, opened: OpenDirectory) -> None:
        """Use `begin` or `go_on`.

        Raises:
            LinkFailed: it cannot be listed.
        """
        self.opened = opened
        self._paths = (Path(os.path.abspath(path)), opened.path)
        with writing(path, "list it"):
            self._names = os.listdir(opened.fileno())

    @property
    def last_number(self) -> int:
        """The number of the newest link that was in it when it was opened; 0 if there was none."""
        return max((int(name) for name in self._names if name.isdecimal()), default=0)

    @classmethod
    def begin(cls, path: Path, *, trusts: bool = False) -> Self:
        """Make the directory of a new chain, or make sure that it may be used.

        Args:
            path: where; what is missing is made, private to us.
            trusts: whether others may be able to exchange it, or what is in it.

        Raises:
            LinkFailed: it cannot be made, or holds images already.
            NotPermitted: it is not ours to write to.
            NotTrusted: others can exchange it, and are not trusted.
        """
        made = cls(path, _open(path, trusts=trusts, makes=True))
        shown = printable(str(path))
        if any(is_image(name) or name.isdecimal() for name in made._names):
            raise LinkFailed(f"{shown} holds images already", hint="choose a new or empty directory")
        if not os.access(os.curdir, os.W_OK | os.X_OK, dir_fd=made.opened.fileno()):
            raise NotPermitted(f"{shown}: not permitted to write there", hint="choose another directory")
        return made

    @classmethod
    def go_on(cls, path: Path, chain: ImageChain) -> Self:
        """Make sure that the chain that was read in a directory can be relied on.

        Nobody is trusted with it: pages are left to links that were not made just now, and read by name.

        Raises:
            NotTrusted: others can exchange it.
            LinkFailed: it cannot be opened any more. BadImage: so it is with a link.
        """
        try:
            opened = _open(path)
            require_ours(chain)
        except NotTrusted as error:
            raise NotTrusted(
                error.message, hint="others may have changed this chain: begin another one elsewhere"
            ) from error
        return cls(path, opened)

    def close(self) -> None:
        """Let go of it: until then its file system cannot be unmounted. Harmless if called again."""
        self.opened.close()

    def fingerprint(self, link: Path) -> Fingerprint:
        """What can be told of a link of the chain without reading it; empty if it is gone."""
        if not self._holds(link):
            return fingerprint(link)  # an ancestor that lies elsewhere: nobody else can exchange it
        try:
            fd = self.opened.open_directory(link.name)
        except OSError:
            return frozenset()
        try:
            return fingerprint(fd)
        finally:
            os.close(fd)

    def fingerprints(self, link: Path) -> list[tuple[Path, Fingerprint]]:
        """Those of a link's parts: of `N.common`, if the link has one, and of the link itself."""
        common = common_path(link)
        parts = (common, link) if self.opened.has(common.name) else (link,)
        return [(part, self.fingerprint(part)) for part in parts]

    def changed(self, known: Iterable[tuple[Path, Fingerprint]]) -> Path | None:
        """The first of these that is not as it was, or is gone; None if all are as they were."""
        return next((path for path, seen in known if self.fingerprint(path) != seen), None)

    def read_listing(self, link: Path, seen: Fingerprint) -> Listing:
        """What a link in it lists.

        Args:
            link: where it is.
            seen: what was told of it when it was made.

        Raises:
            LinkFailed: it is not as it was made. BadImage: it is damaged.
        """
        with self._opened_link(link) as fd:
            if fingerprint(fd) != seen:
                raise LinkFailed(f"{printable(str(link))} was changed or removed since it was made")
            place = Path(f"/proc/self/fd/{fd}")
            pids = {name: pid for name in os.listdir(fd) if (pid := pagemap_pid(name)) is not None}
            return Listing(link.name, {pid: read_pagemap(place / name).covered for name, pid in pids.items()})

    def _holds(self, link: Path) -> bool:
        return link.parent in self._paths

    @contextmanager
    def _opened_link(self, link: Path) -> Iterator[int]:
        with writing(link, "build on it"):
            fd = self.opened.open_directory(link.name)
        try:
            yield fd
        finally:
            os.close(fd)


def _open(path: Path, *, trusts: bool = False, makes: bool = False) -> OpenDirectory:
    try:
        return open_directory(path, trusts=trusts, makes=makes)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise LinkFailed(
            f"{printable(str(path))} cannot be used for images ({why})", hint="choose another directory"
        ) from error
