"""Work on a thread of its own, which can be left behind: what cannot be interrupted need not be waited for.

A target that we have stopped is let go by the thread that has stopped it. That thread must not be the one
that reads its memory, or writes to a disk: there the kernel may have it wait as long as it likes (for a
userfaultfd whose handler is stopped, for a server of files, for a disk with swapped pages), and nothing that
a program can do ends such a wait, but its own end.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from engine.checkpoint.link import Cancelled
from engine.errors import Cancelled as CancelledError
from engine.kernel.held import JOB_CONTROL
from engine.kernel.urgency import urgent

Result = TypeVar("Result")
Told = TypeVar("Told")

_LOOK_EVERY_S: Final = 0.05
_HEEDED_WITHIN_S: Final = 1.0
"""How long work may take to heed a cancel."""


class Apart:
    """A thread, ready for work, from `with` to the end of it."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Piece[Any] | None] = queue.SimpleQueue()
        self.is_left = False
        """Whether a piece of work was left behind: it must not do anything more that counts."""
        self._thread = threading.Thread(target=self._run, name="apart", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread now: later its start would take time while the target is stopped."""
        self._thread.start()
        return self

    def unless_left(self, tell: Callable[[Told], object]) -> Callable[[Told], None]:
        """A callback that passes on what it is told, until work is left behind: from then on it is silent."""

        def tell_unless_left(told: Told) -> None:
            if not self.is_left:
                tell(told)

        return tell_unless_left

    def run(
        self, work: Callable[[], Result], look: Callable[[], object], *, is_urgent: bool = True
    ) -> Result:
        """Have it done there, and wait for it.

        Args:
            work: what to do. Once `is_left` it is to end as soon as it can, and to touch nothing of others.
            look: called some twenty times a second; what it raises is raised, and the work left behind.
            is_urgent: whether to do it at the priority of `urgent`.

        Raises:
            What `work` raises, or `look`.
        """
        piece = _Piece(work, is_urgent)
        if is_urgent:
            self._hurry()
        self._work.put(piece)
        try:
            while not piece.is_done.wait(_LOOK_EVERY_S):
                look()
        except BaseException:
            self.is_left = not piece.is_done.is_set()
            raise
        return piece.outcome()

    def _hurry(self) -> None:
        """Give the thread our priority already: it would have to wait for a processor to raise its own."""
        assert self._thread.native_id is not None
        with suppress(PermissionError):
            os.sched_setscheduler(self._thread.native_id, os.sched_getscheduler(0), os.sched_getparam(0))

    def run_if(self, may_be_left: bool, work: Callable[[], Result], look: Callable[[], object]) -> Result:
        """Have work done there if it may have to be left behind, and here if not. Arguments as of `run`."""
        return self.run(work, look, is_urgent=False) if may_be_left else work()

    @contextmanager
    def things(self) -> Iterator[ExitStack]:
        """Descriptors and buffers that work done there may use, given back at the end of the block.

        If work was left behind, they are given back when it ends, if ever: until then it may still use them.
        """
        with ExitStack() as stack:
            try:
                yield stack
            except BaseException:
                if self.is_left:
                    self._work.put(_Piece(stack.pop_all().close, is_urgent=False))
                raise

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, JOB_CONTROL)
        usual = os.sched_getscheduler(0), os.sched_getparam(0)
        while (piece := self._work.get()) is not None:
            if not piece.is_urgent:
                # Not as soon as a piece is done: whoever waits for that could not go on before us.
                os.sched_setscheduler(0, *usual)
            piece.do()
            del piece

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have it end once it is done."""
        self._work.put(None)


def heeding(check: Callable[[], object], cancelled: Cancelled) -> Callable[[], None]:
    """What `Apart.run` is to call while it waits: gives up work that does not heed a cancel in time.

    Args:
        check: called as well, each time.
        cancelled: whether the work is no longer wanted.
    """
    unheeded_since_s: float | None = None

    def look() -> None:
        nonlocal unheeded_since_s
        check()
        if cancelled():
            now_s = time.monotonic()
            unheeded_since_s = now_s if unheeded_since_s is None else unheeded_since_s
            if now_s - unheeded_since_s > _HEEDED_WITHIN_S:
                raise CancelledError("cancelled: the link was not made, and its pages are pending as before")

    return look


class _Piece(Generic[Result]):
    def __init__(self, work: Callable[[], Result], is_urgent: bool) -> None:
        self._work = work
        self.is_urgent = is_urgent
        self.is_done = threading.Event()
        self._results: list[Result] = []
        self._failure: BaseException | None = None

    def do(self) -> None:
        try:
            with urgent() if self.is_urgent else nullcontext():
                self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - handed over whole, to be raised where it is awaited
            self._failure = error
        self.is_done.set()

    def outcome(self) -> Result:
        if self._failure is not None:
            raise self._failure
        return self._results[0]
