"""What CRIU is to make, and what of it is ours: all that a run of CRIU has to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.questions import Overseer
from engine.checkpoint.link import After
from engine.images.layout import LinkKind
from engine.images.stats import DumpStats
from engine.kernel.process import Identity
from engine.trust.directory import OpenDirectory


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """What is to be made."""

    kind: LinkKind
    root: Identity
    path: Path
    above: OpenDirectory
    """The directory that it is made in."""
    parent: Path | None
    """The link to build on, beside it."""
    after: After
    expected_bytes: int
    """An estimate of how much page data it will be."""
    most_frozen_s: float
    """How long the tree may be stopped."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What CRIU is asked and given beyond the order, and what it has to ask for."""

    use: Use = Use.LINK
    """What it is used for: decides which options a file may set."""
    overseer: Overseer | None = None
    """Whom it has to ask."""
    inherited: tuple[int, ...] = ()
    """Descriptors that it gets besides those of the link's directories."""
    config_lines: tuple[str, ...] = ()
    """Options that can only be said in a file."""
    leaves_pages: bool = False
    """Whether it leaves private anonymous memory to us (lazy pages). Its figures are zero then."""


class OurPart(Protocol):
    """What we do of a link that CRIU makes. A run calls these methods, on its own thread.

    What a method raises makes the link fail, and the tree run on. Of a tree that is to be killed it may be
    too late for that after `while_frozen` (`CriuDirectory.is_only_copy`).
    """

    @property
    def terms(self) -> Terms:
        """What is asked of CRIU besides; the same whenever it is asked for."""
        ...

    def heard(self, script: str) -> None:
        """CRIU has come to a point of its work, named as its action scripts are, and waits for an answer."""

    def while_frozen(self, directory: CriuDirectory, look: Callable[[], None]) -> None:
        """All of CRIU's images are written, and the tree has not gone on yet. Only of dumps.

        Args:
            directory: where they are.
            look: to be called some twenty times a second while it waits; what it raises is to be raised.
        """

    def thawed(self) -> None:
        """The tree goes on, or has ended. Not called if CRIU ended without saying so."""

    def finish(self, directory: CriuDirectory) -> tuple[str, ...]:
        """CRIU has ended and done what was ordered. Returns what the user should know of our part."""
        ...

    def figures(self, counted: DumpStats) -> DumpStats:
        """The figures of the link, by what its pagemaps list; times are for us to add where we know them."""
        ...

    def add(self, directory: CriuDirectory) -> None:
        """Write what belongs into the link besides. All else that it will hold is there."""
