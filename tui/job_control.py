"""Ctrl-Z and its like: this program stops only while it keeps nobody else stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from engine.kernel.held import JOB_CONTROL, stop_us

_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def stops_put_off() -> Iterator[None]:
    """Have what a terminal stops programs with wait until no target is held, and then do what it would have.

    What was ignored stays so. To be entered in the main thread; elsewhere (a test that runs the app in a
    thread) it does nothing.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in JOB_CONTROL}
    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, _putting_off(handler))
            elif handler is signal.SIG_DFL:
                signal.signal(number, _putting_off(_stop))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _putting_off(handler: _Handler) -> _Handler:
    return lambda number, frame: stop_us(number, lambda: handler(number, frame))


def _stop(number: int, frame: FrameType | None) -> None:
    """Do what the kernel does, which is nothing where no shell could have us go on."""
    ours = signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    signal.signal(number, ours)
