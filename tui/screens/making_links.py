"""From a key to a link: what is asked first, and how the answer is carried out."""

from __future__ import annotations

from typing import Any

from textual.app import App

from engine.forecast.triggers.conditions import Trigger
from engine.images.layout import LinkKind
from tui.desk import Desk
from tui.orders import ChainOrder, LinkRequest, Wait
from tui.targets.target import Target


class MakingLinks:
    """What the user can do about a target's chain."""

    def __init__(self, app: App[Any], desk: Desk) -> None:
        self._app = app
        self._desk = desk

    def pre_dump(self, target: Target) -> None:
        """Add a link to the chain under way; without one, ask where to begin it."""
        wait = target.facts.wait
        if wait is not None:
            self._desk.tell(
                f"The trigger {wait.trigger} makes the pre-dumps that pay. c cancels it, D dumps now.",
                title="Pre-dump",
            )
            return
        if target.open_chain is not None:
            self._make(target, LinkRequest(LinkKind.PRE_DUMP))
            return
        directory = self._desk.first_directory(target)
        if directory is not None:
            self._make(target, LinkRequest(LinkKind.PRE_DUMP, ChainOrder(directory, self._desk.engine)))
        else:
            self.ask(target, LinkKind.PRE_DUMP)

    def ask(self, target: Target, kind: LinkKind, trigger: Trigger | None = None) -> None:
        """Ask where and how to make a link, then make it; with a trigger, have it waited for."""
        from tui.screens.dump.screen import DumpScreen

        def answered(answer: LinkRequest | Wait | None) -> None:
            if answer is not None:
                self._make(target, answer)

        self._app.push_screen(DumpScreen(self._desk, target, kind, trigger), answered)

    def ask_when(self, target: Target) -> None:
        """Ask what to wait for, then where and how to dump."""
        from tui.screens.when import WhenScreen

        def chosen(trigger: Trigger | None) -> None:
            if trigger is not None:
                self.ask(target, LinkKind.DUMP, trigger)

        self._app.push_screen(WhenScreen(self._desk, target), chosen)

    def cancel(self, target: Target) -> None:
        """Have the running link given up, and the trigger cancelled."""
        self._desk.triggers.disarm(target, "by you")
        if target.job is not None:
            target.job.cancel()
            self._desk.note(target, "cancelling …")

    def _make(self, target: Target, answer: LinkRequest | Wait) -> None:
        if not target.facts.is_ready or target.facts.is_busy:  # it may have exited while the dialog was open
            self._desk.tell("The target is gone or busy; nothing was written.", severity="warning")
        elif isinstance(answer, Wait):
            self._desk.triggers.arm(target, answer)
        else:
            self._desk.triggers.disarm(target, "it is dumped now")
            self._desk.watched.make_link(target, answer)
