"""Work in a child of our own, to be killed in the middle of it: it starts at once, everything loaded."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

_WORK_FAILED = 1


class Forked:
    """A child that does one thing and ends."""

    def __init__(self, work: Callable[[], object], directory: Path) -> None:
        """Start it.

        Args:
            work: what it does.
            directory: where it leaves the traceback, should it fail.
        """
        self._error = directory / "error"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work()
            except BaseException:  # noqa: BLE001 - whatever it is, the parent is to tell it
                self._error.write_text(traceback.format_exc())
                os._exit(_WORK_FAILED)
            os._exit(0)
        self._status: int | None = None

    def has_ended(self) -> bool:
        """Whether it is done, or has failed."""
        if self._status is None:
            waited, status = os.waitpid(self.pid, os.WNOHANG)
            if waited:
                self._status = status
        return self._status is not None

    def kill(self) -> None:
        """End it now, if it has not ended; it must not have failed."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            _, self._status = os.waitpid(self.pid, 0)
        assert self._status in (0, signal.SIGKILL), self._error.read_text()
