"""Ctrl-C and SIGTERM as a flag that steps look at, not as an exception in the middle of one."""

from __future__ import annotations

import os
import select
import signal
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Any, Final, Self

from tui.job_control import stops_put_off

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While entered, the first such signal is only noted; the next one ends the program at once.

    What CRIU has stopped by then is let go by its guardian (`engine.checkpoint.criu.guardian`). What would
    stop the program waits until no target is held. A signal that was ignored, as after `nohup`, stays so.
    To be entered in the main thread.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """The one that came."""
        # Sleeping on a pipe, because a threading.Event must not be set by a signal handler.
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, Any] = {}
        self._stops = ExitStack()

    def __enter__(self) -> Self:
        self._stops.enter_context(stops_put_off())
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._stops.close()
        os.close(self._woken)
        os.close(self._wake)

    def has_come(self) -> bool:
        """Whether we were asked to end."""
        return self.signal is not None

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until asked to end; returns whether we were."""
        select.select([self._woken], [], [], max(0.0, seconds))
        return self.has_come()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        os.write(self._wake, b".")
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
