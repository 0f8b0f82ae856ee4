"""What there is of a chain, and what its next link builds on. It knows neither disks nor processes.

A link that is refused, or that fails, changes nothing here: the record grows only when a link is finished.
What else can happen between two links is that nothing can be left to the older ones any more; the reason
for that is kept until a link has been finished without them, however many fail before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.fingerprint import Fingerprint
from engine.checkpoint.link import Engine, LinkResult
from engine.errors import LinkFailed
from engine.images.layout import LinkKind
from engine.printable import printable

Part = tuple[Path, Fingerprint]
"""A directory of images, and what it looked like when it was made."""


@dataclass(frozen=True, slots=True)
class NextLink:
    """A link that is about to be made."""

    number: int
    kind: LinkKind
    path: Path
    """Absolute."""
    engine: Engine
    parent: Path | None
    """The link that it builds on; None: it has no parent."""
    notes: tuple[str, ...]
    """What its result is to say of the links before it."""


class ChainRecord:
    """The links of one chain so far, and the next one."""

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        *,
        last_number: int = 0,
        links: tuple[LinkResult, ...] = (),
        parts: Sequence[Part] = (),
    ) -> None:
        """A chain that is begun, or gone on with.

        Args:
            engine: who makes its links.
            directory: where they are made.
            last_number: of the newest link that is there; 0 if there is none.
            links: those there are, oldest first.
            parts: all that the next link relies on, the last of them being its parent.
        """
        self.engine = engine
        self.directory = directory
        self.links = links
        self.parts = tuple(parts)
        self.why_full = ""
        """Why the next link can leave nothing to those before it; empty if it can, or if it is the first."""
        self._notes: tuple[str, ...] = ()
        self._next_number = last_number + 1

    @property
    def next_path(self) -> Path:
        """Where the next link will be."""
        return self.directory / str(self._next_number)

    @property
    def is_ended(self) -> bool:
        """True after a dump: nothing can be added."""
        return bool(self.links) and self.links[-1].kind is LinkKind.DUMP

    def require_open(self) -> None:
        """Make sure that something can be added. Raises LinkFailed if not."""
        if self.is_ended:
            raise LinkFailed(
                f"{printable(str(self.directory))}: this chain has ended with a dump",
                hint="begin another in a new directory",
            )

    def break_off(self, why: str, *, keeps_parent: bool = False) -> None:
        """The next link can leave nothing to the links before it.

        Args:
            why: in words. If there is a reason already, that one stands.
            keeps_parent: whether the next link names its parent all the same.
        """
        if not keeps_parent:
            self.parts = ()
        if self.links:
            self.why_full = self.why_full or why

    def do_without_parent(self) -> None:
        """The next link happens to leave nothing to the links before it, so it needs none of them."""
        self.parts = ()

    def note(self, *texts: str) -> None:
        """Have the next link say this besides."""
        self._notes += texts

    def next_link(self, kind: LinkKind) -> NextLink:
        """What the next link is going to be; nothing is changed by asking.

        Raises:
            LinkFailed: nothing can be added.
        """
        self.require_open()
        full = (f"{self.why_full}: this link is a full one",) if self.why_full else ()
        return NextLink(
            number=self._next_number,
            kind=kind,
            path=Path(os.path.abspath(self.next_path)),
            engine=self.engine,
            parent=self.parts[-1][0] if self.parts else None,
            notes=full + self._notes,
        )

    def finish(self, result: LinkResult, parts: Sequence[Part]) -> None:
        """The next link is there.

        Args:
            result: of it.
            parts: what a later link relies on of it, besides what it relies on itself.

        Raises:
            ValueError: it is not the next link, but another.
        """
        if self.is_ended or result.number != self._next_number:
            raise ValueError(f"link {result.number} is not the next one of {self.directory}")
        self._next_number += 1
        self.parts += tuple(parts)
        self.why_full, self._notes = "", ()
        self.links = (*self.links, result)
