"""The processes of a session that is held: the only way to reach them from outside.

Ticks, links and the tree itself change what is known of a process, each from its own thread. So processes are
handed out by `Session.held` alone, and only to the thread that holds the session, until the end of its block.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import final

from engine.tracking.process_tree import ProcessTree
from engine.tracking.tracked_process import TrackedProcess


@final
class HeldProcesses:
    """The living processes of a tree, the root first. Each use sees them as they are by then."""

    def __init__(self, tree: ProcessTree) -> None:
        """Hand out the members of this tree to the calling thread, which holds the session."""
        self._tree = tree
        self._holder: int | None = threading.get_ident()

    def __iter__(self) -> Iterator[TrackedProcess]:
        """One after the other; processes that join meanwhile come with the next iteration.

        Raises:
            RuntimeError: the session is not held any more, or by another thread.
        """
        self._require_held()
        for process in self._tree:
            self._require_held()
            yield process

    def __len__(self) -> int:
        """How many are alive. Errors as of iterating."""
        self._require_held()
        return len(self._tree)

    def let_go(self) -> None:
        """The session is not held any more: from now on each use is an error."""
        self._holder = None

    def _require_held(self) -> None:
        if self._holder != threading.get_ident():
            raise RuntimeError("processes of a session are used by a thread that does not hold it")
