"""Measures what links to a directory cost, in a thread of its own while ticks go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from engine.errors import Cancelled, DirtytopError
from tui.messages import CostsNotMeasured

if TYPE_CHECKING:
    from engine.forecast.advisor import Advisor
    from tui.backend import Backend, ChainOrder
    from tui.target import Target


class Calibration:
    """Has an advisor measure where the first chain would go.

    Args:
        target: named in the message.
        advisor: learns what was found.
        order: where links would go, and who would make them.
        backend: does it.
        post: where a failure goes; must be safe to call from a thread.
    """

    def __init__(
        self,
        target: Target,
        advisor: Advisor,
        order: ChainOrder,
        backend: Backend,
        post: Callable[[Message], object],
    ) -> None:
        self._target = target
        self._advisor = advisor
        self._order = order
        self._backend = backend
        self._post = post
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"calibrate {target.pid}", daemon=True)

    def start(self) -> None:
        """Begin. It runs once."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask it to give up; nothing of it stays behind."""
        self._cancelled.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False if that took too long."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._backend.calibrate(self._advisor, self._order, self._cancelled.is_set)
        except Cancelled:
            return  # whoever asked for it no longer wants to know
        except DirtytopError as error:
            self._post(CostsNotMeasured(self._target, error))
