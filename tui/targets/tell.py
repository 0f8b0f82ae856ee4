"""How the user is told something that is shown for a moment only."""

from __future__ import annotations

from typing import Protocol

from widgets.event_log import Severity


class Tell(Protocol):
    """Shows a toast of literal text."""

    def __call__(self, text: str, *, title: str = "", severity: Severity = "information") -> None:
        """Show `text`, which may hold anything."""
