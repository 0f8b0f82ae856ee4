"""What is done about what a target's threads tell: the target is brought up to date, and the user told."""

from __future__ import annotations

from typing import Final

from engine.errors import Cancelled
from engine.images.layout import LinkKind
from engine.printable import printable
from engine.tracking.sample import EventKind
from tui import messages
from tui.desk import Desk
from tui.messages import OfTarget
from tui.targets.target import Target
from tui.view.facts import Stage
from tui.words import KINDS, describe_cost, describe_link, link_name, probe_text, restore_command
from widgets.event_log import Severity

_TOASTED: Final = (EventKind.EXECED, EventKind.UNTRACKABLE, EventKind.FOREIGN_CLEAR)
"""Events that change what the figures mean; the others only go to the log."""


class Hearing:
    """Passes on what is told. To be used from the app's thread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def hear(self, target: Target, what: OfTarget) -> None:
        """Do what is to be done about it."""
        desk = self._desk
        match what:
            case messages.Sampled():
                self._sampled(target, what)
            case messages.EventsSeen():
                self._events_seen(target, what)
            case messages.LinkProgressed(progress):
                target.progressed(progress)
            case messages.LinkMade():
                self._link_made(target, what)
            case messages.LinkNotMade():
                self._link_not_made(target, what)
            case messages.TriggerDecided(wait, decision):
                desk.triggers.decided(target, wait, decision)
            case messages.TriggerRefused(wait, error):
                desk.triggers.refused(target, wait, error)
            case messages.CostsMeasured(wait):
                desk.triggers.measured(target, wait)
            case messages.CostsNotMeasured(error, wait):
                if wait is not None:
                    desk.triggers.refused(target, wait, error)
                else:
                    desk.note(target, f"no forecast: {error.message}", "warning")
            case messages.DiskProbed(directory):
                desk.note(target, probe_text(directory))
            case messages.TargetOpened(tracker, modes):
                target.opened(tracker, modes)
                desk.note(target, f"watched by {tracker.value}")
            case messages.WritersSeen(writers):
                target.writers_seen(writers)
            case messages.WritersRefused(error):
                target.writers_refused(error)
            case messages.CommandFailed(error):
                desk.report(target, error, "Refused")
            case messages.SamplingFailed(error):
                target.failed(error)
                desk.note(target, error.message, "error")
                desk.triggers.target_lost(target, error.message)

    def _sampled(self, target: Target, tick: messages.Sampled) -> None:
        before = target.facts
        target.sampled(tick)
        if target.facts.stage is Stage.GONE:
            self._desk.note(target, "the target has exited", "warning")
            self._desk.triggers.target_lost(target, "the target has exited")
        if target.facts.is_armed and not before.is_armed:
            self._desk.note(target, "armed")
            self._desk.foresee(target)

    def _events_seen(self, target: Target, seen: messages.EventsSeen) -> None:
        for event in seen.events:
            severity: Severity = "warning" if event.kind in _TOASTED else "information"
            if event.kind is EventKind.FOREIGN_CLEAR:
                severity = "error"
            self._desk.note(target, event.text, severity)
            if event.kind in _TOASTED:
                self._desk.tell(printable(event.text), title=event.kind.value, severity=severity)

    def _link_made(self, target: Target, made: messages.LinkMade) -> None:
        result = made.result
        target.link_made(made)
        name = link_name(result)
        self._desk.note(target, f"{name}: {describe_link(result)}, {describe_cost(result)}")
        self._desk.triggers.link_made(target, result)
        for note in result.notes:
            self._desk.note(target, f"{name}: {note}", "warning")
        lines = [describe_link(result), describe_cost(result), *result.notes]
        if result.restorable:
            lines.append(f"y copies: {restore_command(result)}")
        elif result.kind is LinkKind.DUMP:
            lines.append("not restorable: Enter says what it does not hold")
        self._desk.tell(
            "\n".join(map(printable, lines)),
            title=f"{name} · {target.name}",
            severity="warning" if result.notes else "information",
        )

    def _link_not_made(self, target: Target, failed: messages.LinkNotMade) -> None:
        error = failed.error
        target.link_not_made(failed)
        self._desk.triggers.link_not_made(target, failed.request, error)
        what = KINDS[failed.request.kind]
        if isinstance(error, Cancelled):
            then = "the next link will be a full one" if failed.why_full else "its pages are pending again"
            self._desk.note(target, f"{what} cancelled; {then}", "warning")
            self._desk.tell(f"Nothing is lost: {then}.", title=f"{what} cancelled")
        else:
            self._desk.report(target, error, f"{what} failed")
            if failed.log is not None:
                self._desk.note(target, "L shows the log", "information")
