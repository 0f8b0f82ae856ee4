"""How long a link may keep its target stopped, and what holds while it is: decided here for every engine.

The limit is what the stop takes on a slow machine, and a time beyond that, which the user sets
(`--freeze-timeout`). When it is over the target is let go and the link is given up: nothing is lost, for its
pages are pending as before.
"""

from __future__ import annotations

import time
from typing import Final

from engine.errors import LinkFailed
from engine.kernel.held import Hold

BEYOND_S: Final = 10.0
"""The default of `--freeze-timeout`."""

MORE_TIME: Final = "nothing is lost; `--freeze-timeout` lets it be stopped for longer"

_SLOW_MEMORY_BYTES_PER_S: Final = 500e6
_SLOW_DISK_BYTES_PER_S: Final = 50e6
_SLOW_PROCESS_S: Final = 0.1
"""What CRIU takes for a process beside its memory."""
_SLACK_S: Final = 1.0
"""If the target was not let go so long after the limit, the program that should have done it is taken to be
stopped itself."""


class FrozenTooLong(LinkFailed):
    """The target was stopped for longer than it may be: it runs on, and the link was given up."""


def limit_s(beyond_s: float, processes: int, size_bytes: int, *, to_disk: bool) -> float:
    """How long a link may keep its target stopped.

    Args:
        beyond_s: `--freeze-timeout`.
        processes: how many it has.
        size_bytes: what has to be copied while they are stopped, as far as is known.
        to_disk: whether they go on only once it has been written.
    """
    rate = _SLOW_DISK_BYTES_PER_S if to_disk else _SLOW_MEMORY_BYTES_PER_S
    return processes * _SLOW_PROCESS_S + size_bytes / rate + beyond_s


class Freeze:
    """One target being stopped for a link, from `begin` to `end`.

    Where others stop it, that may be seen late: from `expect` on the kernel wakes us.
    """

    def __init__(self, pid: int, limit_s: float) -> None:
        """It is not stopped yet.

        Args:
            pid: of the root of its tree.
            limit_s: how long it may be.
        """
        self.pid = pid
        self.limit_s = limit_s
        self._hold: Hold | None = None
        self._since_s: float | None = None
        self.lasted_s = 0.0
        """How long it was stopped, once it goes on."""

    def expect(self) -> None:
        """It may be stopped at any moment."""
        if self._hold is None:
            self._hold = Hold(self.limit_s + _SLACK_S)
            self._hold.__enter__()

    def begin(self) -> None:
        """It is stopped, or about to be; nothing changes if that was said before."""
        self.expect()
        if self._since_s is None:
            self._since_s = time.monotonic()

    @property
    def is_under_way(self) -> bool:
        """Whether it is stopped."""
        return self._since_s is not None

    @property
    def elapsed_s(self) -> float:
        """For how long it is stopped by now; 0 if it is not."""
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    def still_here(self) -> None:
        """We are not stopped: the kernel need not wake us yet."""
        if self._hold is not None:
            self._hold.go_on(max(0.0, self.limit_s - self.elapsed_s) + _SLACK_S)

    def check(self) -> None:
        """Say that we are not stopped ourselves, and look whether time is over.

        Raises:
            FrozenTooLong: it has been stopped for longer than it may be.
        """
        self.still_here()
        if self.elapsed_s > self.limit_s:
            raise FrozenTooLong(
                f"process {self.pid} was stopped for {self.elapsed_s:.1f} s, "
                f"longer than the limit of {self.limit_s:.1f} s: it runs on, and the link was given up",
                pid=self.pid,
                hint=MORE_TIME,
            )

    def end(self) -> None:
        """It goes on; may be called twice."""
        if self._since_s is not None:
            self.lasted_s += self.elapsed_s
            self._since_s = None
        if self._hold is not None:
            self._hold.__exit__(None, None, None)
            self._hold = None
