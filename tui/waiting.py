"""Waiting for the right moment, as the command line and the dashboard both do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engine.forecast.advisor import Advice
from engine.tracking.sample import RateMode
from engine.units import format_duration, say_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVAL_S: Final = 0.5
"""A target that is waited for is looked at no less often than this."""


class Tracked(Protocol):
    """What is to be known of a target before it is waited for (`engine.tracking.session.Session`)."""

    @property
    def modes(self) -> Sequence[RateMode]:
        """The modes of its tracker."""
        ...

    @property
    def mode(self) -> RateMode:
        """The one it is in."""
        ...

    @property
    def is_lent(self) -> bool:
        """Whether its soft-dirty bits are a chain's of CRIU."""
        ...

    def set_mode(self, mode: RateMode) -> None:
        """Change it."""


def see_every_write(session: Tracked) -> RateMode | None:
    """Have ticks tell what a target writes again and again, without which no lull is known.

    Where the soft-dirty bits are a chain's of CRIU they can only be read: then nothing changes.

    Returns:
        The mode it was in, if that has changed.
    """
    before = session.mode
    if before is RateMode.REARMING or RateMode.REARMING not in session.modes or session.is_lent:
        return None
    session.set_mode(RateMode.REARMING)
    return before


def verdict_line(advice: Advice) -> str:
    """What a dump at once would cost, in one line."""
    forecast = advice.forecast
    if not forecast.plans:
        return forecast.text
    now = forecast.now
    size, stop = say_bytes(now.size_bytes.mid), format_duration(now.stopped_s.mid)
    return f"now: {size}, stops for {stop} · {forecast.text}"
