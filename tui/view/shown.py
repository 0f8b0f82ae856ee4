"""What the dashboard is showing now: frozen data, assigned as a whole to one reactive (`DirtytopApp.shown`).

A screen watches that reactive and gives each widget its part. `tui.view.made` makes it of what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.forecast.triggers.armed import Armed
from tui.view.can import can_do
from tui.view.facts import NO_LOOK, Facts, Look
from widgets.event_log import Severity
from widgets.rate_chart import ChartMark
from widgets.target_header import TargetStatus
from widgets.target_trends import TargetTrend


@dataclass(frozen=True, slots=True)
class Banner:
    """What stands between the user and live figures, and how bad it is; literal."""

    text: str = ""
    severity: Severity = "information"


@dataclass(frozen=True, slots=True)
class ChainShown:
    """The panel of the chain."""

    links: tuple[LinkResult, ...] = ()
    name: str = ""
    """Of its directory."""
    warning: str = ""
    next_text: str = ""
    progress: LinkProgress | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What the charts draw."""

    look: Look = NO_LOOK
    marks: tuple[ChartMark, ...] = ()
    empty_text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TargetView:
    """All that the dashboard shows of one target."""

    facts: Facts
    """What it was made of; dialogs show some of them too."""
    status: TargetStatus
    trend: TargetTrend
    banner: Banner
    chain: ChainShown
    past: Past
    armed: Armed | None
    """The trigger that waits, as of the last tick, even while the view is frozen: it may fire any time."""
    no_forecast_text: str
    """What the verdict says while nothing is foreseen."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the dashboard is showing now."""

    targets: tuple[TargetView, ...] = ()
    current: TargetView | None = None
    """The one in view; it is among `targets`."""
    can: Mapping[str, bool | None] = field(default_factory=dict)
    """Which actions are hidden (False) or dimmed (None) now."""
    stop_budget_s: float = 0.0

    def of(self, number: int) -> TargetView | None:
        """The view of the target with this `Facts.number`; None if it is watched no more."""
        return next((view for view in self.targets if view.facts.number == number), None)

    @property
    def at(self) -> int | None:
        """The place of the one in view among the targets."""
        return self.targets.index(self.current) if self.current is not None else None


NOTHING = Shown(can=can_do(None, readonly=False, target_count=0))
