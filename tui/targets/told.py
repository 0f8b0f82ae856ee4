"""Messages of Textual's: what comes to the app from threads and screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from tui.messages import NEWEST_COUNTS, OfTarget
from tui.targets.target import Target

if TYPE_CHECKING:  # heavy, and only named here
    from widgets.process_table import ProcessIdentity


class Told(Message):
    """Something that a thread of a target tells."""

    def __init__(self, target: Target, what: OfTarget) -> None:
        super().__init__()
        self.target = target
        self.what = what

    def can_replace(self, message: Message) -> bool:
        """Of some only the newest counts."""
        return (
            isinstance(message, Told)
            and message.target is self.target
            and isinstance(self.what, NEWEST_COUNTS)
            and type(message.what) is type(self.what)
        )


class TargetsPicked(Message):
    """The user chose what to watch."""

    def __init__(self, picked: tuple[ProcessIdentity, ...]) -> None:
        super().__init__()
        self.picked = picked


class ThreadFailed(Message):
    """A thread met an error that nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
