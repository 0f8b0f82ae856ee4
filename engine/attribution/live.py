"""Who writes, tick by tick, for a viewer that stays: what `watcher` finds, as `report` words it."""

from __future__ import annotations

from engine.attribution.report import Writers, writers_of
from engine.attribution.watcher import WriterWatch
from engine.tracking.sample import Sample
from engine.tracking.session import Session


class LiveWriters:
    """Watches a session that is armed and re-arms with each tick. To be used from the thread that ticks."""

    def __init__(self, session: Session) -> None:
        """Open the events. Errors as of `WriterWatch`."""
        self._watch = WriterWatch(session)

    def observe(self, sample: Sample) -> Writers:
        """Take in a tick that was just made; what is known then."""
        self._watch.observe(sample)
        return writers_of(self._watch)

    def close(self) -> None:
        """Close the events; may be called twice."""
        self._watch.close()
