"""Measures what links to a directory cost, in a thread of its own while ticks go on.

For that a file is written there for a moment (`engine.forecast.calibrate`), which is said beforehand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from engine.errors import Cancelled, DirtytopError
from tui.messages import CostsMeasured, CostsNotMeasured, DiskProbed

if TYPE_CHECKING:
    from engine.forecast.advisor import Advisor
    from tui.backend import Backend, ChainOrder
    from tui.target import Target
    from tui.wait import Wait


class Calibration:
    """Has an advisor measure where the first chain would go.

    Args:
        target: named in the message.
        advisor: learns what was found.
        order: where links would go, and who would make them.
        backend: does it.
        post: where messages go; must be safe to call from a thread.
        wait: the trigger for which it is done, if it is for one.
    """

    def __init__(
        self,
        target: Target,
        advisor: Advisor,
        order: ChainOrder,
        backend: Backend,
        post: Callable[[Message], object],
        wait: Wait | None = None,
    ) -> None:
        self._target = target
        self._advisor = advisor
        self._order = order
        self._backend = backend
        self._post = post
        self._wait = wait
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
            if self._advisor.needs_probe(self._order.directory):
                self._post(DiskProbed(self._target, self._order.directory))
            tracking = self._target.tracking
            if tracking is None:  # it is no longer watched
                return
            self._backend.calibrate(tracking, self._advisor, self._order, self._cancelled.is_set)
        except Cancelled:
            return  # whoever asked for it no longer wants to know
        except DirtytopError as error:
            self._post(CostsNotMeasured(self._target, error, self._wait))
        else:
            if self._wait is not None:
                self._post(CostsMeasured(self._target, self._wait))
