"""What a pre-dump or dump reports: while it runs, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Self

from engine.images.layout import LinkKind
from engine.images.link import LinkInfo


class Engine(Enum):
    """Who writes the images."""

    MEMORY = "memory"
    """Ours: memory and registers, in CRIU's format; not restorable."""
    CRIU = "criu"
    SPLICED = "spliced"


class After(Enum):
    """What becomes of the target once it has been dumped."""

    RUN = "run"
    STOP = "stop"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class LinkProgress:
    """How far a link is."""

    stage: str
    """As in "collecting", "copying", "writing", "syncing"."""
    done_bytes: int
    total_bytes: int | None
    """None while that is not known, or nothing is copied."""

    @property
    def share(self) -> float:
        """Of all of it what is done, from 0 to 1."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Where a link's time went; None where its engine could not measure it."""

    lead_s: float | None = None
    """From the order until the target was stopped, or looked at: it still wrote till then."""
    collect_s: float | None = None
    """Stopping the target, if it was stopped; what was written; registers: until copying began."""
    read_s: float | None = None
    """Reading the target's memory."""


NOT_MEASURED: Final = LinkTimes()

Progress = Callable[[LinkProgress], None]
Cancelled = Callable[[], bool]


def unheeded(progress: LinkProgress) -> None:
    """The progress callback of a caller who does not want to know how far a link is."""


def never() -> bool:
    """The cancel callback of a caller who does not cancel."""
    return False


@dataclass(frozen=True, slots=True)
class LinkResult:
    """One finished link. What is None is not known: of a link that an earlier program made, times are not."""

    number: int
    """1 for the first of its chain."""
    kind: LinkKind
    path: Path
    engine: Engine
    pages_written: int
    pages_in_parent: int
    size_bytes: int
    """Of the page data written."""
    stopped_us: int | None
    """How long the target was stopped, measured; 0: never."""
    copy_s: float | None
    """Time to read the pages and hand them to the page cache."""
    sync_s: float | None
    """Time to make them durable."""
    seconds: float | None
    """From beginning to end."""
    restorable: bool
    not_held: tuple[str, ...] = ()
    """What a checkpoint of this target would need and this link does not hold, in words."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it went."""
    times: LinkTimes = NOT_MEASURED
    """What a forecast learns from."""
    beyond_pending_pages: int = 0
    """Of `pages_written`, those that were saved although nothing had been written to them."""

    @property
    def stopped_s(self) -> float | None:
        """`stopped_us` in seconds."""
        return None if self.stopped_us is None else self.stopped_us / 1e6

    @property
    def since_look_s(self) -> float | None:
        """How long before its end the target was looked at, or at most: what it wrote since is pending."""
        return None if self.seconds is None else self.seconds - (self.times.lead_s or 0.0)

    @classmethod
    def of_earlier(cls, info: LinkInfo, engine: Engine) -> Self:
        """A link that was made before, as far as its images tell; how long it took they do not."""
        return cls(
            number=info.number,
            kind=info.kind,
            path=info.path,
            engine=engine,
            pages_written=info.pages_written,
            pages_in_parent=info.pages_in_parent,
            size_bytes=info.size_bytes,
            stopped_us=info.stopped_us,
            copy_s=None,
            sync_s=None,
            seconds=None,
            restorable=info.restorable,
        )

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop checkpoint --json`."""
        return {
            "link": self.number,
            "kind": self.kind.value,
            "path": str(self.path),
            "engine": self.engine.value,
            "pages_written": self.pages_written,
            "pages_in_parent": self.pages_in_parent,
            "bytes": self.size_bytes,
            "stopped_us": self.stopped_us,
            "seconds": round(self.seconds, 6) if self.seconds is not None else None,
            "restorable": self.restorable,
            "not_held": list(self.not_held),
            "notes": list(self.notes),
        }
