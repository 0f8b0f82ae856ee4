"""What the dashboard needs of the engine, and nothing more.

The screens talk to these protocols, so that a test can put a scripted target behind them.
`EngineBackend` is the real thing; it imports the engine's heavier parts only when they are used,
because none of them is needed for the first frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.checkpoint.link import After, Cancelled, LinkResult, Progress
from engine.tracking.sample import RateMode, Sample, TrackerKind

if TYPE_CHECKING:
    from engine.kernel.process import Identity
    from engine.processes import ProcessLister, ProcessRow


class Tracking(Protocol):
    """One target tree being sampled (`engine.tracking.session.Session`); may be used from any thread."""

    @property
    def root(self) -> Identity:
        """The process that was picked."""
        ...

    @property
    def tracker(self) -> TrackerKind:
        """How writes are seen."""
        ...

    @property
    def mode(self) -> RateMode:
        """What a tick does to the tracker."""
        ...

    @property
    def modes(self) -> tuple[RateMode, ...]:
        """The modes this tracker has."""
        ...

    @property
    def is_armed(self) -> bool:
        """Whether writes are being seen."""
        ...

    @property
    def is_alive(self) -> bool:
        """False once the whole tree has exited."""
        ...

    def arm(self) -> None:
        """Start counting since-armed at zero; what is pending stays pending."""

    def set_mode(self, mode: RateMode) -> None:
        """Switch to another of `modes`."""

    def tick(self) -> Sample:
        """Look once; a sample without processes says that the target is gone."""
        ...

    def close(self) -> None:
        """Let go of the target."""


class Checkpointing(Protocol):
    """A chain of links in one directory (`engine.checkpoint.memory.MemoryChain`)."""

    @property
    def directory(self) -> Path:
        """Where the links are made."""
        ...

    @property
    def is_ended(self) -> bool:
        """True after a dump: nothing can be added."""
        ...

    def pre_dump(self, progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add a link of memory only."""
        ...

    def dump(self, after: After = ..., progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:
        """Add the last link."""
        ...


class Backend(Protocol):
    """Where targets, chains and processes come from."""

    def open_target(self, pid: int, tracker: TrackerKind | None) -> Tracking:
        """Begin to sample `pid`; `tracker` None lets the engine choose."""
        ...

    def open_chain(self, target: Tracking, directory: Path) -> Checkpointing:
        """Begin a chain of `target` in a directory that holds no images yet."""
        ...

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """Every process of this machine. Called from one thread, again and again."""
        ...


class EngineBackend:
    """The engine itself."""

    def __init__(self) -> None:
        self._lister: ProcessLister | None = None

    def open_target(self, pid: int, tracker: TrackerKind | None) -> Tracking:
        """A `Session`."""
        from engine.tracking.session import Session

        return Session(pid, tracker)

    def open_chain(self, target: Tracking, directory: Path) -> Checkpointing:
        """A `MemoryChain`."""
        from engine.checkpoint.memory import MemoryChain
        from engine.tracking.session import Session

        assert isinstance(target, Session), "a chain is made of a session of this backend"
        return MemoryChain(target, directory)

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """The processes as psutil and /proc show them."""
        if self._lister is None:
            from engine.processes import ProcessLister

            self._lister = ProcessLister()
        return self._lister.list()
