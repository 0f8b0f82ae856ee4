"""What threads tell the app. Each message is frozen data; the app's handlers only pass it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.errors import DirtytopError
from engine.forecast.advisor import NO_ADVICE, Advice
from engine.tracking.sample import Event, RateMode, Sample, TrackerKind

if TYPE_CHECKING:
    from pathlib import Path

    from engine.checkpoint.engines import Chain
    from engine.forecast.trigger import Decision
    from engine.processes import ProcessRow
    from engine.tracking.heat import HeatColumn
    from tui.jobs import LinkRequest
    from tui.target import Target
    from tui.wait import Wait
    from widgets.process_table import ProcessIdentity
    from widgets.rate_chart import ChartPoint


class TargetOpened(Message):
    """The engine has taken a target; samples follow."""

    def __init__(self, target: Target, tracker: TrackerKind, modes: tuple[RateMode, ...]) -> None:
        super().__init__()
        self.target = target
        self.tracker = tracker
        self.modes = modes


class Sampled(Message):
    """A tick. Only the newest counts: what must not be lost (events, history) is kept elsewhere."""

    def __init__(
        self,
        target: Target,
        sample: Sample,
        armed: bool,
        history: tuple[ChartPoint, ...],
        *,
        lent: bool = False,
        advice: Advice = NO_ADVICE,
        heat: tuple[HeatColumn, ...] = (),
    ) -> None:
        super().__init__()
        self.target = target
        self.sample = sample
        self.advice = advice
        self.heat = heat
        self.armed = armed
        self.lent = lent
        self.history = history

    def can_replace(self, message: Message) -> bool:
        """Another sample of the same target makes this one stale."""
        return isinstance(message, Sampled) and message.target is self.target


class EventsSeen(Message):
    """Things that happened to the tree; never coalesced."""

    def __init__(self, target: Target, events: tuple[Event, ...]) -> None:
        super().__init__()
        self.target = target
        self.events = events


class SamplingFailed(Message):
    """The target cannot be sampled (any more)."""

    def __init__(self, target: Target, error: DirtytopError) -> None:
        super().__init__()
        self.target = target
        self.error = error


class CommandFailed(Message):
    """Arming or a change of mode was refused; sampling goes on."""

    def __init__(self, target: Target, error: DirtytopError) -> None:
        super().__init__()
        self.target = target
        self.error = error


class DiskProbed(Message):
    """For a moment a file without a name is written to where links would go."""

    def __init__(self, target: Target, directory: Path) -> None:
        super().__init__()
        self.target = target
        self.directory = directory


class CostsMeasured(Message):
    """What the links of a trigger would cost is known."""

    def __init__(self, target: Target, wait: Wait) -> None:
        super().__init__()
        self.target = target
        self.wait = wait


class CostsNotMeasured(Message):
    """What links would cost could not be found: there is no forecast yet.

    Args:
        target: whose links.
        error: why not.
        wait: the trigger that they were to be made for; None: a forecast was all that was wanted.
    """

    def __init__(self, target: Target, error: DirtytopError, wait: Wait | None = None) -> None:
        super().__init__()
        self.target = target
        self.error = error
        self.wait = wait


class TriggerDecided(Message):
    """The armed trigger says what to do; never coalesced, because it says so once."""

    def __init__(self, target: Target, wait: Wait, decision: Decision) -> None:
        super().__init__()
        self.target = target
        self.wait = wait
        self.decision = decision


class TriggerRefused(Message):
    """The target cannot be waited for."""

    def __init__(self, target: Target, wait: Wait, error: DirtytopError) -> None:
        super().__init__()
        self.target = target
        self.wait = wait
        self.error = error


class LinkProgressed(Message):
    """How far the running job is."""

    def __init__(self, target: Target, progress: LinkProgress) -> None:
        super().__init__()
        self.target = target
        self.progress = progress

    def can_replace(self, message: Message) -> bool:
        """Newer progress of the same target makes this one stale."""
        return isinstance(message, LinkProgressed) and message.target is self.target


class LinkMade(Message):
    """A pre-dump or dump is complete."""

    def __init__(self, target: Target, chain: Chain, result: LinkResult) -> None:
        super().__init__()
        self.target = target
        self.chain = chain
        self.result = result


class LinkNotMade(Message):
    """A pre-dump or dump failed or was cancelled; its pages are pending again.

    Args:
        target: whose link it would have been.
        request: what was asked for.
        error: why there is no link.
        why_full: why the next link of the chain will be a full one; empty if it will not, for this.
        log: of the program that failed, if it left one.
    """

    def __init__(
        self,
        target: Target,
        request: LinkRequest,
        error: DirtytopError,
        *,
        why_full: str = "",
        log: Path | None = None,
    ) -> None:
        super().__init__()
        self.target = target
        self.request = request
        self.error = error
        self.why_full = why_full
        self.log = log


class ProcessesListed(Message):
    """The processes of this machine, looked up for the picker."""

    def __init__(self, rows: tuple[ProcessRow, ...]) -> None:
        super().__init__()
        self.rows = rows

    def can_replace(self, message: Message) -> bool:
        """A newer list makes this one stale."""
        return isinstance(message, ProcessesListed)


class TargetsPicked(Message):
    """The user chose what to watch."""

    def __init__(self, picked: tuple[ProcessIdentity, ...]) -> None:
        super().__init__()
        self.picked = picked


class ThreadFailed(Message):
    """A thread met an error that nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
