"""Pre-dumps and dumps, each in a thread of its own while the sampler goes on.

A job reports through the same kind of messages as the sampler. Cancelling asks; the engine gives
up at the next place where nothing is lost, and the pages are pending again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from engine.checkpoint.link import After, LinkProgress, LinkResult
from engine.errors import DirtytopError
from engine.images.layout import LinkKind
from tui.messages import LinkMade, LinkNotMade, LinkProgressed

if TYPE_CHECKING:
    from tui.backend import Checkpointing
    from tui.target import Target


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What the user asked for."""

    kind: LinkKind
    new_chain_in: Path | None = None
    """Begin a chain in this directory; None: go on with the one under way."""
    after: After = After.RUN
    """What becomes of the target; only a dump looks at it."""


class LinkJob:
    """Makes one link.

    Args:
        target: named in every message.
        request: what to make.
        open_chain: called in the job's thread, because a slow file system may make it wait. Gives
            the chain under way, or begins one.
        post: where messages go; must be safe to call from a thread.
    """

    def __init__(
        self,
        target: Target,
        request: LinkRequest,
        open_chain: Callable[[], Checkpointing],
        post: Callable[[Message], object],
    ) -> None:
        self.request = request
        self._target = target
        self._open_chain = open_chain
        self._post = post
        self._cancelled = threading.Event()
        name = f"{request.kind.value} {target.pid}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_cancelled(self) -> bool:
        """Whether it has been asked to give up."""
        return self._cancelled.is_set()

    def start(self) -> None:
        """Begin. A job runs once."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask it to give up; what it took is pending again afterwards."""
        self._cancelled.set()

    def join(self, timeout_s: float | None) -> bool:
        """Wait for its end, None: however long it takes; False if that took too long."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            chain = self._open_chain()
            result = self._make(chain)
        except DirtytopError as error:
            self._post(LinkNotMade(self._target, self.request, error))
        else:
            self._post(LinkMade(self._target, chain, result))

    def _make(self, chain: Checkpointing) -> LinkResult:
        if self.request.kind is LinkKind.PRE_DUMP:
            return chain.pre_dump(self._progress, self._cancelled.is_set)
        return chain.dump(self.request.after, self._progress, self._cancelled.is_set)

    def _progress(self, progress: LinkProgress) -> None:
        self._post(LinkProgressed(self._target, progress))
