"""What a dump may wait for, and how long: conditions as values, each written as `text` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from enum import Enum

from engine.units import exact_duration


@dataclass(frozen=True, slots=True)
class StopBelow:
    """When a dump would stop the target for less than this."""

    seconds: float

    def __str__(self) -> str:
        """As it is written."""
        return f"stop<{exact_duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class QuietFor:
    """When the target has been quiet for so long: in a lull, or idle."""

    seconds: float

    def __str__(self) -> str:
        """As it is written."""
        return f"quiet {exact_duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class AtTime:
    """When the clock next shows this local time."""

    clock: time

    def __str__(self) -> str:
        """As it is written."""
        return f"at {self.clock:%H:%M:%S}" if self.clock.second else f"at {self.clock:%H:%M}"


@dataclass(frozen=True, slots=True)
class Every:
    """A pre-dump so often, and the dump when it pays.

    That is when it would stop the target for less than the budget, or when a further pre-dump would not
    make the stop shorter.
    """

    seconds: float
    stop_s: float | None = None
    """The budget; None takes the forecast's."""

    def __str__(self) -> str:
        """As it is written."""
        until = f" until {StopBelow(self.stop_s)}" if self.stop_s is not None else ""
        return f"every {exact_duration(self.seconds)}{until}"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """When one of these is the case, whichever is first."""

    conditions: tuple[StopBelow | QuietFor | AtTime | Every, ...]

    def __str__(self) -> str:
        """As it is written."""
        return " or ".join(map(str, self.conditions))


Condition = StopBelow | QuietFor | AtTime | Every | AnyOf


class AtDeadline(Enum):
    """What to do if it has not come to a dump by then."""

    DUMP = "dump"
    """Anyhow."""
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What to wait for, and how long."""

    condition: Condition
    deadline_s: float | None = None
    """From when it is armed; None waits for ever."""
    at_deadline: AtDeadline = AtDeadline.DUMP
    may_pre_dump: bool = True
    pre_dump_every_s: float | None = None
    """Pre-dump so often while waiting, whatever is waited for."""

    def __str__(self) -> str:
        """What is waited for, as it is written."""
        return str(self.condition)
