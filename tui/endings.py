"""The ways in which the program can end without the user asking: signals, a closed terminal, a bug.

Textual handles none of them. A signal would leave the terminal in its alternate screen and no target
let go in order; a terminal that is closed would make Textual's writing thread die and then wait for
it forever; what a thread raises would be drawn over the screen.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_STDOUT, _STDERR = 1, 2


def end_on_signals(end: Callable[[int], None]) -> None:
    """Have a signal end the running event loop's program: `end` is called with the exit code.

    A second one kills: leaving may have to wait for a terminal that takes no more output. What CRIU has
    stopped by then is let go by its guardian (`engine.checkpoint.criu.guardian`).
    To be called in the main thread; elsewhere (a test that runs the app in a thread) it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def received(number: int) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
        end(128 + number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, received, number)


@contextmanager
def thread_failures_go_to(report: Callable[[Exception], object]) -> Iterator[None]:
    """Have `report` told of what threads raise; it is called in the thread that failed.

    A thread that could not write because the terminal is gone is not reported: it goes on, writing to
    nowhere: a thread that waits for its queue to be emptied would wait for ever.
    """
    before = threading.excepthook

    def failed(failure: threading.ExceptHookArgs) -> None:
        error = failure.exc_value
        was_writing = isinstance(error, OSError) and error.errno == errno.EIO
        if was_writing and failure.thread is not None and _write_to_nowhere():
            failure.thread.run()
        elif isinstance(error, Exception):
            report(error)

    threading.excepthook = failed
    try:
        yield
    finally:
        threading.excepthook = before


def _write_to_nowhere() -> bool:
    """If our output went to a terminal that is gone, let it go nowhere; False if that was not so."""
    gone = [stream for stream in (_STDOUT, _STDERR) if _is_gone(stream)]
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for stream in gone:
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return bool(gone)


def _is_gone(stream: int) -> bool:
    try:
        os.tcgetpgrp(stream)
    except OSError as error:
        return error.errno == errno.EIO  # ENOTTY: a file or a pipe
    return False
