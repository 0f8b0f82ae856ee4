"""What making a link consists of, whichever engine makes it: measured by a probe, then by every link.

A dump comes once in a chain, at its end. The cost of the first must therefore be put together of parts that
were measured before: a pre-dump finds out what was written just as a dump does, and a probe reads as a dump
reads.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Final

from engine.checkpoint.link import LinkResult
from engine.forecast.costs.line import CostLine
from engine.images.layout import LinkKind

_REMEMBERED: Final = 5
_LEAST_TELLING_BYTES: Final = 1 << 18
"""Reading or writing less than this takes too short a time to be measured well."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Each a fixed part and so much a byte. Immutable: `after` gives the next."""

    reading: CostLine
    """Reading the memory of a process that is stopped into ours."""
    writing: CostLine
    """Writing memory to the chosen directory's file system, past the page cache where it can do that."""
    syncing: CostLine
    """Making one file durable."""
    touching: CostLine
    """Mapping in memory that was not used before."""
    collects_s: tuple[float, ...] = ()
    """How long the last pre-dumps took to find out what was written."""
    stoppings_s: tuple[float, ...] = ()
    """For how long the last dumps kept the target stopped beside reading it."""

    @property
    def touching_s_per_byte(self) -> float:
        """Of mapping in. Writing goes to memory that was not used before, too: it is never cheaper."""
        return min(self.touching.s_per_byte, self.writing.s_per_byte)

    def collect_s(self, guess_s: float) -> float:
        """Finding out what was written; `guess_s` counts as much as one pre-dump.

        A pre-dump may have to wait for a tick, or for the screen to be drawn; a dump waits for neither.
        """
        return statistics.median_low((guess_s, *self.collects_s))

    def stopping_s(self, guess_s: float) -> float:
        """Stopping, finding out what was written, and registers; `guess_s` counts as much as one dump."""
        return statistics.median((guess_s, *self.stoppings_s))

    def after_stop(self, result: LinkResult) -> Parts:
        """The same once a dump has let the target run on."""
        stopped_s, read_s = result.stopped_s, result.times.read_s
        if stopped_s is None or read_s is None or stopped_s <= read_s:
            return self
        stopping_s = stopped_s - read_s
        return replace(self, stoppings_s=(*self.stoppings_s, stopping_s)[-_REMEMBERED:])

    def after(self, result: LinkResult) -> Parts:
        """The same once this link has been made. A link that did not measure its parts teaches nothing."""
        times, size = result.times, result.size_bytes
        if result.kind is LinkKind.PRE_DUMP:
            parts = self
            if times.collect_s is not None:
                parts = replace(parts, collects_s=(*parts.collects_s, times.collect_s)[-_REMEMBERED:])
            read_s, copy_s = times.read_s, result.copy_s
            if read_s is None or copy_s is None or copy_s <= read_s or size < _LEAST_TELLING_BYTES:
                return parts
            return replace(parts, writing=parts.writing.after(size, copy_s - read_s))
        # A pre-dump reads a target that runs, and through memory that is always at hand.
        if times.read_s and size >= _LEAST_TELLING_BYTES:
            return replace(self, reading=self.reading.after(size, times.read_s))
        return self
