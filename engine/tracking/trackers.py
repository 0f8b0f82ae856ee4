"""The trackers that there are, by kind: the one place to which a new tracker is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.kernel.process import Identity
from engine.tracking.abilities import Abilities
from engine.tracking.sample import TrackerKind
from engine.tracking.soft_dirty import SoftDirtyTracker
from engine.tracking.tracker import Tracker
from engine.tracking.uffd_source import UffdSource
from engine.tracking.write_protect import WriteProtectTracker

_ABILITIES: Final[Mapping[TrackerKind, Abilities]] = {
    TrackerKind.SOFT_DIRTY: SoftDirtyTracker.abilities,
    TrackerKind.WRITE_PROTECT: WriteProtectTracker.abilities,
}

_MAKERS: Final[Mapping[TrackerKind, Callable[[Identity, UffdSource], Tracker]]] = {
    TrackerKind.SOFT_DIRTY: lambda identity, source: SoftDirtyTracker(identity),
    TrackerKind.WRITE_PROTECT: WriteProtectTracker,
}


def abilities_of(kind: TrackerKind) -> Abilities:
    """What trackers of this kind are able to do."""
    return _ABILITIES[kind]


def new_tracker(kind: TrackerKind, identity: Identity, source: UffdSource) -> Tracker:
    """A tracker of one process; nothing is armed yet.

    Args:
        kind: of tracker.
        identity: the process.
        source: where its userfaultfd comes from, if it needs one.

    Raises:
        TargetGone, NotPermitted, AlreadyTraced, NotSupported: the process cannot be tracked.
    """
    return _MAKERS[kind](identity, source)
