"""Triggers of the dashboard: set, watched, cancelled, and each of these told.

The trigger itself waits in the target's `Advisor`, as it does for `dirtytop checkpoint --when`; the
sampler's thread shows it every tick and posts what it decides. Here that becomes links, on the app's
own thread. A trigger is cancelled by its dump, by its deadline, by the user, and by whatever makes a
link fail. It goes on when another program breaks the chain or the target starts another program: the
next link is a full one then, and nothing is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from engine.checkpoint.link import LinkResult
from engine.errors import Cancelled, DirtytopError
from engine.forecast.triggers.armed import Action, Decision
from engine.images.layout import LinkKind
from engine.printable import printable
from tui.orders import LinkRequest, Wait
from tui.targets.target import Target
from tui.targets.tell import Tell
from tui.targets.watchlist import WatchList
from tui.view.wait import Waiting, deadline_text
from widgets.event_log import Severity


class Room(Protocol):
    """Where triggers are: the targets, and the ways to reach the user (`tui.desk.Desk`)."""

    watched: WatchList
    tell: Tell

    def note(self, target: Target, text: str, severity: Severity = "information") -> None:
        """Add a line to a target's event log."""


class Triggers:
    """What is done about them. To be used from the app's thread."""

    def __init__(self, desk: Room) -> None:
        self._desk = desk

    # What the user does.

    def arm(self, target: Target, wait: Wait) -> None:
        """Wait for this, in place of whatever was waited for; first find out what its links would cost."""
        if target.facts.wait is not None:
            self.disarm(target, "another takes its place")
        target.set_wait(Waiting(wait))
        self._desk.note(target, f"trigger set: {wait.trigger}{deadline_text(wait.trigger)}")
        order = wait.request.chain
        if order is not None:
            self._desk.watched.measure(target, order, wait)
        else:
            self.measured(target, wait)  # by the links of the chain under way

    def disarm(self, target: Target, why: str, severity: Severity = "information") -> None:
        """Wait for nothing any more; a link that is being made is not given up by it."""
        wait = target.facts.wait
        if wait is None:
            return
        target.set_wait(None)
        self._desk.watched.stop_measuring(target)
        if target.sampler is not None:
            target.sampler.stop_waiting(keeps_chain=not wait.has_begun and target.open_chain is not None)
        self._desk.note(target, f"trigger {wait.trigger} cancelled: {why}", severity)
        if severity != "information":
            self._desk.tell(
                printable(f"{why}. The trigger was {wait.trigger}."),
                title=f"Trigger cancelled · {target.name}",
                severity=severity,
            )

    # What threads find.

    def measured(self, target: Target, wait: Wait) -> None:
        """What its links would cost is known: from now on it waits."""
        waiting = self._current(target, wait)
        if waiting is not None and target.sampler is not None:
            target.set_wait(replace(waiting, is_measuring=False))
            target.sampler.wait_for(wait)

    def refused(self, target: Target, wait: Wait, error: DirtytopError) -> None:
        """It cannot be waited for."""
        if self._current(target, wait):
            hint = f" ({error.hint})" if error.hint else ""
            self.disarm(target, f"{error.message}{hint}", "error")

    def decided(self, target: Target, wait: Wait, decision: Decision) -> None:
        """The trigger says what to do now."""
        waiting = self._current(target, wait)
        if waiting is None:  # it was decided before it was cancelled
            return
        if target.facts.is_busy:  # the last link is made, but nobody here has been told yet
            target.set_wait(replace(waiting, held=decision))
            return
        if decision.action is Action.GIVE_UP:
            self.disarm(target, decision.reason, "warning")
            return
        request = waiting.next_link(decision.action)
        self._desk.note(target, f"trigger {wait.trigger}: {decision.action.value}, {decision.reason}")
        self._desk.watched.make_link(target, request)

    def _current(self, target: Target, wait: Wait) -> Waiting | None:
        """How far a wait is; None if it is not the one that the target has."""
        waiting = target.facts.wait
        return waiting if waiting is not None and waiting.order is wait else None

    # What becomes of links, the user's too.

    def link_made(self, target: Target, result: LinkResult) -> None:
        """Count it; a dump is what was waited for."""
        wait = target.facts.wait
        if wait is None:
            return
        target.set_wait(replace(wait, has_begun=True, held=None))
        if result.kind is LinkKind.DUMP:
            self.disarm(target, "it has dumped")
        elif wait.held is not None:
            self.decided(target, wait.order, wait.held)

    def link_not_made(self, target: Target, request: LinkRequest, error: DirtytopError) -> None:
        """Do not try again and again."""
        if isinstance(error, Cancelled):
            self.disarm(target, f"its {request.kind.value} was cancelled")
        else:
            self.disarm(target, f"its {request.kind.value} failed: {error.message}", "warning")

    def target_lost(self, target: Target, why: str) -> None:
        """It has exited or cannot be sampled. If its link is being made, that tells how it went."""
        links = target.facts.links
        if not target.facts.is_busy:
            there = f"; complete so far: {len(links)} links" if links else ""
            self.disarm(target, f"{why}, and nothing was dumped{there}", "warning")
