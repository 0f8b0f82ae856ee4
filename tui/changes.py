"""What the screens are told: which part of a target has changed, and texts for the user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from tui.target import Severity, Target


class What(Enum):
    """Which part of a target has changed."""

    SAMPLE = auto()
    STATUS = auto()
    LINKS = auto()
    PROGRESS = auto()
    LOG = auto()
    TARGETS = auto()
    """Which targets are watched, or which of them is in view."""


@dataclass(frozen=True, slots=True)
class Change:
    """News for the screens."""

    target: Target | None
    what: What


class Tell(Protocol):
    """Shows a toast of literal text."""

    def __call__(self, text: str, *, title: str = "", severity: Severity = "information") -> None:
        """Show `text`, which may hold anything."""
