"""What a tracker is able to do. Whoever depends on it asks for the ability, and not which tracker it is."""

from __future__ import annotations

from dataclasses import dataclass

from engine.tracking.sample import RateMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """The abilities of one tracker; see `engine.tracking.trackers.abilities_of`."""

    modes: tuple[RateMode, ...]
    """What its ticks can do; the first is the usual one."""
    shares_epochs: bool
    """Its epochs are everybody's: whoever clears begins one for all. So an epoch of CRIU's is ours too, and
    can be lent to CRIU; and an epoch of ours can be ended by any program."""
    survives_us: bool
    """The kernel goes on tracking once this program has ended: a later one may go on in the same epoch."""
    tracks_before_armed: bool
    """The kernel tracks each process from its birth; arming only clears."""
    stops_to_rearm: bool
    """To read and re-arm without losing a write, it has to stop the target."""
    misses_moves: bool
    """Memory that is moved with its page table does not show as written; `FrameMarks` tell."""
    counts_whole_huge_pages: bool
    """One write to a huge page shows as a write to all its pages."""
    keeps_mappings_apart: bool
    """Memory mapped behind watched memory does not merge with it before the next tick."""
