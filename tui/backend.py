"""What the dashboard needs of the engine, and nothing more.

The screens talk to these protocols, so that a test can put a scripted target behind them.
`EngineBackend` is the real thing; it imports the engine's heavier parts only when they are used,
because none of them is needed for the first frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.checkpoint.link import Engine
from engine.tracking.cost_budget import CostBudget
from engine.tracking.sample import RateMode, Sample, TrackerKind
from tui.orders import ChainOrder

if TYPE_CHECKING:
    from engine.attribution.report import Writers
    from engine.checkpoint.chain import Chain
    from engine.checkpoint.earlier import EarlierChain
    from engine.checkpoint.engines import EngineReport
    from engine.checkpoint.link import Cancelled
    from engine.forecast.advisor import Advisor
    from engine.images.areas import Area
    from engine.kernel.maps import Maps
    from engine.kernel.process import Identity
    from engine.processes import ProcessLister, ProcessRow
    from engine.tracking.session import Session


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

    def paced_s(self, asked_s: float, within_s: float = ...) -> float:
        """How long after the last tick the next is to come, as the cost budget allows."""
        ...

    @property
    def is_lent(self) -> bool:
        """Whether a chain of CRIU's owns the soft-dirty bits, so that ticks only read them."""
        ...

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Start counting since-armed at zero; what is pending stays pending."""

    def set_mode(self, mode: RateMode) -> None:
        """Switch to another of `modes`."""

    def tick(self) -> Sample:
        """Look once; a sample without processes says that the target is gone."""
        ...

    def close(self) -> None:
        """Let go of the target."""


class WriterWatching(Protocol):
    """Somebody who finds out which code writes a target (`engine.attribution.watcher.WriterWatch`)."""

    def observe(self, sample: Sample) -> Writers:
        """Take in a tick that was just made; what is known then."""
        ...

    def close(self) -> None:
        """Look no more."""


class Backend(Protocol):
    """Where targets, chains and processes come from."""

    def open_target(self, pid: int, tracker: TrackerKind | None, budget: CostBudget) -> Tracking:
        """Begin to sample `pid` for no more than `budget`; `tracker` None lets the engine choose."""
        ...

    def engines(self) -> tuple[Engine, ...]:
        """Those there are to choose from, working here or not."""
        ...

    def examine_engines(self, target: Tracking) -> tuple[EngineReport, ...]:
        """What can make links of `target`, and what not and why. May take seconds."""
        ...

    def examine_chain(self, target: Tracking, directory: Path) -> EarlierChain | None:
        """What can be done with the chain in a directory; None if there is none."""
        ...

    def open_chain(self, target: Tracking, order: ChainOrder) -> Chain:
        """Begin a chain of `target`, or go on with one that is there."""
        ...

    def find_log(self, link: Path, since_s: float = 0.0) -> Path | None:
        """The log of the program that made a link, or failed to; None if it is older than that."""
        ...

    def read_areas(self, link: Path, maps: Mapping[int, Maps]) -> tuple[Area, ...]:
        """What a link holds of each mapping, by pid. Reads its images; `BadImage` where it cannot."""
        ...

    def calibrate(self, target: Tracking, advisor: Advisor, order: ChainOrder, cancelled: Cancelled) -> None:
        """Have an advisor learn what links of such a chain cost. May take a second."""

    def watch_writers(self, target: Tracking) -> WriterWatching:
        """Begin to find out which code writes an armed target that re-arms with each tick.

        Called in the thread that ticks. Raises DirtytopError: perf events are not to be had, and why.
        """
        ...

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """Every process of this machine. Called from one thread, again and again."""
        ...


class EngineBackend:
    """The engine itself.

    Args:
        trusts_directory: whether others may be able to exchange the directories of chains.
    """

    def __init__(self, *, trusts_directory: bool = False) -> None:
        self._trusts_directory = trusts_directory
        self._lister: ProcessLister | None = None

    def open_target(self, pid: int, tracker: TrackerKind | None, budget: CostBudget) -> Tracking:
        """A `Session`."""
        from engine.tracking.session import Session

        return Session(pid, tracker, budget)

    def engines(self) -> tuple[Engine, ...]:
        """See `engine.checkpoint.kinds`."""
        from engine.checkpoint.kinds import ENGINES

        return ENGINES

    def examine_engines(self, target: Tracking) -> tuple[EngineReport, ...]:
        """See `engine.checkpoint.engines`."""
        from engine.checkpoint.engines import examine_engines

        return examine_engines(_session(target))

    def examine_chain(self, target: Tracking, directory: Path) -> EarlierChain | None:
        """See `engine.checkpoint.earlier`."""
        from engine.checkpoint.earlier import examine_chain

        return examine_chain(_session(target), directory)

    def open_chain(self, target: Tracking, order: ChainOrder) -> Chain:
        """A chain of the engine that is wanted."""
        from engine.checkpoint.engines import DEFAULT_OPTIONS, go_on, open_chain

        engine, session = _engine(target, order), _session(target)
        options = order.options or DEFAULT_OPTIONS
        if order.is_there:
            return go_on(engine, session, order.directory, options)
        trusts = self._trusts_directory
        return open_chain(engine, session, order.directory, options, trusts_directory=trusts)

    def find_log(self, link: Path, since_s: float = 0.0) -> Path | None:
        """See `engine.checkpoint.criu.directory`."""
        from engine.checkpoint.criu.directory import find_log

        return find_log(link, since_s)

    def read_areas(self, link: Path, maps: Mapping[int, Maps]) -> tuple[Area, ...]:
        """See `engine.images.areas`."""
        from engine.images.areas import link_areas
        from engine.images.link import read_link

        return link_areas(read_link(link), maps)

    def calibrate(self, target: Tracking, advisor: Advisor, order: ChainOrder, cancelled: Cancelled) -> None:
        """By copying and writing for a moment."""
        from engine.checkpoint.kinds import kind_of

        engine = _engine(target, order)
        can_pre_dump = kind_of(engine).can_pre_dump()
        advisor.calibrate(order.directory, engine, can_pre_dump=can_pre_dump, cancelled=cancelled)

    def watch_writers(self, target: Tracking) -> WriterWatching:
        """By perf events."""
        from engine.attribution.live import LiveWriters

        return LiveWriters(_session(target))

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """The processes as psutil and /proc show them."""
        if self._lister is None:
            from engine.processes import ProcessLister

            self._lister = ProcessLister()
        return self._lister.list()


def _engine(target: Tracking, order: ChainOrder) -> Engine:
    from engine.checkpoint.dumpable import best_engine

    return order.engine or best_engine(target.root.pid, order.options)


def _session(target: Tracking) -> Session:
    from engine.tracking.session import Session

    assert isinstance(target, Session), "a chain is made of a session of this backend"
    return target
