"""Measures what links to a directory cost, in a thread of its own while ticks go on.

For that a file is written there for a moment (`engine.forecast.costs.calibrate`), which is said beforehand.
"""

from __future__ import annotations

import threading

from engine.errors import Cancelled, DirtytopError
from engine.forecast.advisor import Advisor
from tui.backend import Backend, Tracking
from tui.messages import CostsMeasured, CostsNotMeasured, DiskProbed, Post
from tui.orders import ChainOrder, Wait


class Calibration:
    """Has an advisor measure where the first chain would go.

    Args:
        tracking: the target.
        advisor: learns what was found.
        order: where links would go, and which engine would make them.
        backend: does it.
        post: where messages go; must be safe to call from a thread.
        wait: the trigger for which it is done, if it is for one.
    """

    def __init__(
        self,
        tracking: Tracking,
        advisor: Advisor,
        order: ChainOrder,
        backend: Backend,
        post: Post,
        wait: Wait | None = None,
    ) -> None:
        self._tracking = tracking
        self._advisor = advisor
        self._order = order
        self._backend = backend
        self._post = post
        self._wait = wait
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"calibrate {tracking.root.pid}", daemon=True)

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
                self._post(DiskProbed(self._order.directory))
            self._backend.calibrate(self._tracking, self._advisor, self._order, self._cancelled.is_set)
        except Cancelled:
            return  # nobody wants to know any more
        except DirtytopError as error:
            self._post(CostsNotMeasured(error, self._wait))
        else:
            if self._wait is not None:
                self._post(CostsMeasured(self._wait))
