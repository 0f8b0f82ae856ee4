"""What a chain can be asked for, whoever makes its links."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress


class Chain(Protocol):
    """A chain of links in one directory, whoever makes them."""

    freeze_timeout_s: float
    """How long each link may keep the target stopped, beyond what it takes on a slow machine."""

    @property
    def engine(self) -> Engine:
        """Who makes them."""
        ...

    @property
    def directory(self) -> Path:
        """Where they are made."""
        ...

    @property
    def next_path(self) -> Path:
        """Where the next one will be."""
        ...

    @property
    def links(self) -> tuple[LinkResult, ...]:
        """Those there are, oldest first."""
        ...

    @property
    def is_ended(self) -> bool:
        """True after a dump: nothing can be added."""
        ...

    @property
    def why_full(self) -> str:
        """Why the next link will not build on the last one, as far as is known; empty if it will."""
        ...

    def pre_dump(self, progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add a link of memory only."""
        ...

    def dump(self, after: After = ..., progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add the last link."""
        ...

    def close(self) -> None:
        """Make no more links: what the session has lent is taken back. May be called twice."""
