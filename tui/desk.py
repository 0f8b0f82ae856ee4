"""What the screens share: the targets, the settings, and the ways to reach the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from engine.checkpoint.link import Engine
from engine.errors import DirtytopError
from engine.printable import printable
from engine.tracking.cost_budget import CostBudget
from engine.tracking.sample import TrackerKind
from engine.units import say_duration
from tui.backend import Backend
from tui.directory import chain_name
from tui.orders import ChainOrder
from tui.settings import Settings, checkpoints_path
from tui.targets.target import Target
from tui.targets.tell import Tell
from tui.targets.triggers import Triggers
from tui.targets.watchlist import WatchList
from widgets.event_log import Severity


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None leaves it to the settings."""

    pids: tuple[int, ...] = ()
    arm: bool = False
    interval_s: float | None = None
    tracker: TrackerKind | None = None
    directory: Path | None = None
    """Where the first chain goes, without a question."""
    theme: str | None = None
    readonly: bool = False
    """Neither arm nor dump."""
    stop_budget_s: float | None = None
    engine: Engine | None = None
    """The maker of chains while the user has chosen none; None: the one that saves most of the target."""
    cost_budget: CostBudget | None = None
    """What tracking may cost a target."""
    greets: bool = False
    """Show the tour to a user who has not seen it."""
    trusts_directory: bool = False
    """Whether others than us and root may be able to exchange the directories of chains."""


class Clock(Protocol):
    """The time, so that a test can hold it still."""

    def monotonic(self) -> float:
        """Seconds, as `time.monotonic`."""
        ...

    def time_of_day(self) -> str:
        """As in "12:34:56"."""
        ...

    def local_time(self) -> datetime:
        """The date and time of day."""
        ...

    def stamp(self) -> str:
        """As in "20250131-123456": part of the name of a chain's directory."""
        ...


class Desk:
    """Passed to every screen.

    Args:
        backend: where targets and chains come from.
        watched: the targets.
        settings: as they are remembered.
        options: what the command line says.
        clock: the time.
        changed: to be called when something else is to be shown. Targets do so by themselves.
        tell: shows a toast.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        watched: WatchList,
        settings: Settings,
        options: Options,
        clock: Clock,
        changed: Callable[[], None],
        tell: Tell,
    ) -> None:
        self.backend = backend
        self.watched = watched
        self.settings = settings
        self.options = options
        self.clock = clock
        self.changed = changed
        self.tell = tell
        self.triggers = Triggers(self)

    @property
    def interval_s(self) -> float:
        """From tick to tick, for a target newly watched."""
        return self.options.interval_s or self.settings.interval_s

    @property
    def engine(self) -> Engine | None:
        """The maker of chains: the last choice, if there is one; None leaves it open."""
        engines = self.backend.engines()
        return next((each for each in engines if each.value == self.settings.engine), self.options.engine)

    @property
    def stop_budget_s(self) -> float:
        """How long a target may stop at the end of a chain."""
        said = self.options.stop_budget_s
        return self.settings.stop_budget_s if said is None else said

    def set_stop_budget(self, budget_s: float) -> None:
        """Have every target advised by another budget from the next tick on."""
        self.options = replace(self.options, stop_budget_s=None)
        self.remember(stop_budget_s=budget_s)
        for target in self.watched.targets:
            if target.sampler is not None:
                target.sampler.advisor.set_budget(budget_s)
        self.changed()
        # Where there is little room, no panel has a frame to say it in.
        text = f"{say_duration(budget_s)}: the advice uses it from the next tick on."
        self.tell(text, title="Stop budget")

    def remember(self, **settings: Any) -> None:
        """Change settings; they are written when the program ends."""
        self.settings = replace(self.settings, **settings)

    def watch(self, pid: int, *, start_ticks: int | None = None, command: str = "") -> None:
        """Watch a process and bring it into view."""
        self.watched.watch(
            pid,
            start_ticks=start_ticks,
            command=command,
            interval_s=self.interval_s,
            arm=self.options.arm and not self.options.readonly,
            stop_budget_s=self.stop_budget_s,
        )

    def foresee(self, target: Target) -> None:
        """Have it found out what links would cost where the next chain would go; read-only writes nothing."""
        if self.options.readonly or target.facts.wait is not None:  # for a trigger that is done anyway
            return
        self.watched.calibrate(target, ChainOrder(self.default_directory(target), self.engine))

    def default_directory(self, target: Target) -> Path:
        """What the command line says; else a new directory beside the last one, or where such things go."""
        wanted = self.first_directory(target)
        if wanted is not None:
            return wanted
        base = Path(self.settings.last_directory) if self.settings.last_directory else checkpoints_path()
        return base / self._chain_name(target)

    def first_directory(self, target: Target) -> Path | None:
        """Where the command line says that the first chain goes; None if it does not say, or it is taken."""
        directory = self.options.directory
        if directory is None or target.facts.links:
            return None
        if len(self.watched.targets) > 1:
            directory /= self._chain_name(target)
        return None if directory == target.refused_directory else directory

    def _chain_name(self, target: Target) -> str:
        return chain_name(target.facts.command, target.pid, self.clock.stamp())

    def note(self, target: Target, text: str, severity: Severity = "information") -> None:
        """Add a line to a target's event log."""
        target.note(self.clock.time_of_day(), printable(text), severity)

    def report(self, target: Target, error: DirtytopError, title: str) -> None:
        """Say that something failed: a toast with the hint, and a line in the event log."""
        self.note(target, f"{title}: {error.message}", "error")
        text = printable(error.message)
        if error.hint:
            text += f"\n{printable(error.hint)}"
        self.tell(text, title=f"{title} · {target.name}", severity="error")
