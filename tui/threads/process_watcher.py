"""The thread that looks up the processes for the picker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from textual.message import Message

from tui.backend import Backend

if TYPE_CHECKING:  # heavy, and only named here
    from engine.processes import ProcessRow

PERIOD_S: Final = 2.0


class ProcessesListed(Message):
    """The processes of this machine, looked up for the picker."""

    def __init__(self, rows: tuple[ProcessRow, ...]) -> None:
        super().__init__()
        self.rows = rows

    def can_replace(self, message: Message) -> bool:
        """A newer list makes this one stale."""
        return isinstance(message, ProcessesListed)


class ProcessWatcher:
    """Lists processes at once and then every two seconds, while it is awake.

    Args:
        backend: where processes come from.
        post: where lists go; must be safe to call from a thread.
    """

    def __init__(self, backend: Backend, post: Callable[[Message], object]) -> None:
        self._backend = backend
        self._post = post
        self._awake = threading.Event()
        self._awake.set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="list processes", daemon=True)

    def start(self) -> None:
        """Begin. A watcher runs once."""
        self._thread.start()

    def sleep(self) -> None:
        """Look no more until woken: nobody sees it."""
        self._awake.clear()

    def wake(self) -> None:
        """Go on looking."""
        self._awake.set()

    def stop(self) -> None:
        """End after the look under way."""
        self._stopped.set()
        self._awake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._post(ProcessesListed(self._backend.list_processes()))
            self._stopped.wait(PERIOD_S)
            self._awake.wait()
