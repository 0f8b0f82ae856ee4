"""What we do ourselves to a tree that CRIU dumps: stop it by SIGSTOP, and wake it again."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from engine.errors import TargetGone
from engine.kernel.process import Identity, child_processes, require_same

_ENDING_S: Final = 2.0


class DumpedTree:
    """A root and its descendants, frozen by CRIU."""

    def __init__(self, root: Identity) -> None:
        """Nothing is done to it."""
        self._root = root
        self._stopped: list[Identity] = []

    @property
    def is_stopped(self) -> bool:
        """Whether SIGSTOP was sent."""
        return bool(self._stopped)

    def stop(self) -> None:
        """Have the tree stop when CRIU lets go of it."""
        for identity in (self._root, *(stat.identity for stat in child_processes({self._root.pid}))):
            os.kill(identity.pid, signal.SIGSTOP)
            self._stopped.append(identity)

    def wake(self) -> None:
        """Take back what `stop` has done."""
        for identity in self._stopped:
            try:
                require_same(identity)
                os.kill(identity.pid, signal.SIGCONT)
            except (TargetGone, ProcessLookupError):
                continue
        self._stopped.clear()

    def is_gone(self) -> bool:
        """Whether the root has exited."""
        try:
            require_same(self._root)
        except TargetGone:
            return True
        return False

    def is_ending(self) -> bool:
        """Whether CRIU has killed the target before it failed: that takes effect within moments."""
        deadline_s = time.monotonic() + _ENDING_S
        while not self.is_gone():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)
        return True
