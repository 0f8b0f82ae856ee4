"""Which processes stand still because of us at this moment: what stops us must not make that last.

A process that we have stopped ourselves (`engine.kernel.stopping`) goes on when we end, but not while we are
stopped. A signal that would stop us from a terminal is therefore put off until nothing is held (`stop_us`).
SIGSTOP cannot be put off: the kernel wakes us when the time that was given for the hold is over.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from engine.kernel.alarm_clock import AlarmClock

LONGEST_S: Final = 10.0
"""Far longer than a stop takes that has no limit of its own."""
JOB_CONTROL: Final = frozenset((signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
"""What a terminal stops programs with."""

_lock = threading.RLock()
_holds: Final[list[Hold]] = []
_put_off: Final[set[int]] = set()
_of_this_thread: Final = threading.local()
_wakes: Final = AlarmClock(signal.SIGCONT)


class Hold:
    """A process tree that stands still because of us, from `with` to the end of it.

    A second one of the same thread, inside of the first, is a part of that. The thread blocks the
    terminal's signals meanwhile: what it writes to a terminal must not stop it either.
    """

    def __init__(self, within_s: float = LONGEST_S) -> None:
        """Nothing is held yet; in so many seconds it is over, or `go_on` is called."""
        self.due_s = 0.0
        """When we are taken to be stopped, by `time.monotonic`."""
        self._within_s = within_s
        self._unblocked: frozenset[signal.Signals] = frozenset()
        self._is_inner = False

    def __enter__(self) -> Self:
        self._is_inner = getattr(_of_this_thread, "holds", False)
        if self._is_inner:
            return self
        _of_this_thread.holds = True
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, JOB_CONTROL)
        self._unblocked = JOB_CONTROL.difference(blocked)
        with _lock:
            _holds.append(self)
            self.go_on(self._within_s)
        return self

    def go_on(self, within_s: float) -> None:
        """We are alive: from now on it is over in so many seconds, or this is called again."""
        with _lock:
            self.due_s = time.monotonic() + within_s
            _set_clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_inner:
            return
        put_off: set[int] = set()
        with _lock:
            _holds.remove(self)
            _set_clock()
            if not _holds:
                put_off.update(_put_off)
                _put_off.clear()
        _of_this_thread.holds = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._unblocked)
        for number in put_off:
            os.kill(os.getpid(), number)


def _set_clock() -> None:
    """To when the first hold should have been over."""
    if _holds:
        _wakes.set(max(0.0, min(hold.due_s for hold in _holds) - time.monotonic()))
    else:
        _wakes.stop()


def stop_us(number: int, stop: Callable[[], object]) -> None:
    """For the handler of a signal that is to stop us: do so now, or have the signal come again later.

    Args:
        number: the signal, which is sent again once nothing is held any more.
        stop: stops this program. A hold that is about to begin waits until the program goes on.
    """
    with _lock:
        if _holds:
            _put_off.add(number)
        else:
            stop()


def _forget() -> None:
    """A forked child holds nothing."""
    global _lock
    _lock = threading.RLock()
    _holds.clear()
    _put_off.clear()
    _of_this_thread.holds = False


os.register_at_fork(after_in_child=_forget)
