"""Notes when each step of making one link was taken, and makes the link's result of that.

The steps, in this order: the link is *ordered*; its target is *looked* at, running or about to be stopped;
all of it is *frozen*; *copying* begins. Then, in either order, it is *thawed* and all is *copied*; last the
link is *done*. An engine leaves out steps that it cannot see: what they would have told is None, not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from engine.checkpoint.chain_record import NextLink
from engine.checkpoint.link import LinkResult, LinkTimes


class Step(Enum):
    """What can be noted of a link."""

    ORDERED = auto()
    LOOKED = auto()
    FROZEN = auto()
    COPYING = auto()
    THAWED = auto()
    COPIED = auto()
    DONE = auto()


_AFTER: Final = {
    Step.LOOKED: Step.ORDERED,
    Step.FROZEN: Step.LOOKED,
    Step.COPYING: Step.LOOKED,
    Step.THAWED: Step.LOOKED,
    Step.COPIED: Step.COPYING,
    Step.DONE: Step.ORDERED,
}
"""What has to have been noted before a step."""
_NO_LONGER_AFTER: Final = {Step.LOOKED: (), Step.FROZEN: (Step.COPYING,), Step.COPYING: (Step.THAWED,)}
"""What must not have been noted before a step, beside the step itself and DONE."""


class OutOfOrder(RuntimeError):
    """A step was noted that cannot come now: a fault of the program."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What is on disk of a link, in figures, and what else is known of it."""

    pages_written: int
    pages_in_parent: int
    size_bytes: int
    sync_s: float
    stopped_us: int | None
    """As of `LinkResult`."""
    copy_s: float | None = None
    """As of `LinkResult`, of an engine that measures it itself; None: by the clock."""
    notes: tuple[str, ...] = ()


class LinkClock:
    """Of one link, from the order on."""

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        """It is ordered now."""
        self._now_s = now_s
        self._at_s = {Step.ORDERED: now_s()}

    def note(self, step: Step) -> None:
        """A step is taken now.

        Raises:
            OutOfOrder: it cannot be, after what was taken before.
        """
        before = _NO_LONGER_AFTER.get(step, ())
        too_late = any(each in self._at_s for each in (step, Step.DONE, *before))
        if step not in _AFTER or _AFTER[step] not in self._at_s or too_late:
            raise OutOfOrder(f"{step.name} after {', '.join(each.name for each in self._at_s)}")
        self._at_s[step] = self._now_s()

    def has(self, step: Step) -> bool:
        """Whether that has happened."""
        return step in self._at_s

    @property
    def lead_s(self) -> float | None:
        """From the order to the look."""
        return self._between_s(Step.ORDERED, Step.LOOKED)

    @property
    def freezing_s(self) -> float | None:
        """From the look until all of the target was frozen."""
        return self._between_s(Step.LOOKED, Step.FROZEN)

    @property
    def frozen_s(self) -> float | None:
        """For how long all of the target has been frozen until now, or was until it was thawed.

        Where nobody told when all of it was: since the look.
        """
        return self._until_s(Step.FROZEN if self.has(Step.FROZEN) else Step.LOOKED, Step.THAWED)

    @property
    def collect_s(self) -> float | None:
        """From the look until copying began."""
        return self._between_s(Step.LOOKED, Step.COPYING)

    @property
    def copy_s(self) -> float | None:
        """For how long it has been copied until now, or was until all was copied."""
        return self._until_s(Step.COPYING, Step.COPIED)

    def done(
        self,
        link: NextLink,
        saved: Saved,
        *,
        restorable: bool,
        read_s: float | None = None,
        not_held: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        beyond_pending_pages: int = 0,
    ) -> LinkResult:
        """The link is there: its result. The other arguments are as of `LinkResult`, and of `LinkTimes`.

        Raises:
            OutOfOrder: that was said before, or the target is still frozen.
        """
        if self.has(Step.FROZEN) and not self.has(Step.THAWED):
            raise OutOfOrder("the link is done, and its target is still frozen")
        self.note(Step.DONE)
        return LinkResult(
            number=link.number,
            kind=link.kind,
            path=link.path,
            engine=link.engine,
            pages_written=saved.pages_written,
            pages_in_parent=saved.pages_in_parent,
            size_bytes=saved.size_bytes,
            stopped_us=saved.stopped_us,
            copy_s=self.copy_s if saved.copy_s is None else saved.copy_s,
            sync_s=saved.sync_s,
            seconds=self._between_s(Step.ORDERED, Step.DONE),
            restorable=restorable,
            not_held=not_held,
            notes=(*notes, *saved.notes),
            times=LinkTimes(self.lead_s, self.collect_s, read_s),
            beyond_pending_pages=beyond_pending_pages,
        )

    def _between_s(self, begin: Step, end: Step) -> float | None:
        if begin not in self._at_s or end not in self._at_s:
            return None
        return self._at_s[end] - self._at_s[begin]

    def _until_s(self, begin: Step, end: Step) -> float | None:
        if begin not in self._at_s:
            return None
        return self._at_s.get(end, self._now_s()) - self._at_s[begin]
