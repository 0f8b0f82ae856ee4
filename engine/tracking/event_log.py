"""What happens to a tree, in words, until the next sample takes it. Some of it is said only once."""

from __future__ import annotations

from typing import Final, final
from weakref import WeakKeyDictionary

from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.process import Identity
from engine.tracking.cost_budget import CostKeeper
from engine.tracking.cost_words import CostTeller
from engine.tracking.sample import Event, EventKind, ProcessSample
from engine.tracking.tracked_process import TrackedProcess

_SEAMS: Final = (
    "armed by write-protection: memory that is mapped next to other memory stays a mapping of its own until "
    "the next tick; an mremap across both fails until then"
)


@final
class EventLog:
    """The events of one session."""

    def __init__(self, root: Identity) -> None:
        """Nothing has happened yet.

        Args:
            root: of the tree: the process that events of the whole tree are told of.
        """
        self._root = root
        self._events: list[Event] = []
        self._costs = CostTeller()
        self._told_clears: WeakKeyDictionary[TrackedProcess, int] = WeakKeyDictionary()
        self._told_of_huge_pages: set[Identity] = set()

    def note(self, kind: EventKind, identity: Identity, text: str) -> None:
        """Something happened to a process."""
        self._events.append(Event(kind, identity.pid, text))

    def take(self) -> tuple[Event, ...]:
        """What happened since this was asked last, in that order."""
        events, self._events = tuple(self._events), []
        return events

    def note_armed(self, *, again: bool, leaves_seams: bool) -> None:
        """The tree was armed.

        Args:
            again: whether it had been armed before.
            leaves_seams: whether the tracker keeps mappings apart.
        """
        self._told_of_huge_pages.clear()
        if again:
            self.note(EventKind.REARMED, self._root, "re-armed: counts begin at zero")
        elif leaves_seams:
            self.note(EventKind.SEAMS, self._root, _SEAMS)

    def note_costs(self, costs: CostKeeper, unarmed: int, now_s: float) -> None:
        """A tick has been paid for; see `CostTeller.news`."""
        for text in self._costs.news(costs, unarmed, now_s):
            self.note(EventKind.COST, self._root, text)

    def has_new_clear(self, process: TrackedProcess) -> bool:
        """Whether another program has cleared this process's tracker, and no event has told of it yet."""
        return process.foreign_clears > self._told_clears.get(process, 0)

    def note_sampled(self, process: TrackedProcess, sample: ProcessSample) -> None:
        """A process was looked at: foreign clears, and the first writes to huge pages, are told."""
        if self.has_new_clear(process):
            self._told_clears[process] = process.foreign_clears
            self.note(
                EventKind.FOREIGN_CLEAR,
                process.identity,
                f"another program, or the process itself, cleared the soft-dirty bits of {process.command}: "
                "writes may have gone unseen, and the next image will be a full one",
            )
        if sample.huge_inflation_pages and process.identity not in self._told_of_huge_pages:
            self._told_of_huge_pages.add(process.identity)
            most = pages_per_huge_page()
            text = f"{process.command} writes to huge pages: up to {most} pages counted for one write"
            self.note(EventKind.HUGE_PAGES, process.identity, text)
