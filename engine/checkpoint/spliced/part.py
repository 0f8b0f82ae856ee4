"""Our part of a dump that CRIU and we make together: the pages that it leaves to us.

CRIU is asked for a dump with lazy pages. Once it has frozen the tree and written everything else it says so
(`post-dump`) and waits for our word. That is when we copy what is pending. Should we refuse, or be
gone, it lets the tree go on as if nothing had been asked.

Of large anonymous mappings it is told nothing (`withheld`): it would hold on to each of their pages.

With our word it serves lazy pages to whoever comes. It is given the socket to do so, and the other end
of that is closed already: nobody ever comes, nobody else can, and it goes on at once. To close without a
word is understood by every version, while what could be said differs from 4.1 to 4.2. No port is opened, and
no kill of ours can make CRIU wait, with the tree frozen, for somebody who does not come.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.order import OurPart, Terms
from engine.checkpoint.link import After
from engine.checkpoint.link_clock import LinkClock, Step
from engine.checkpoint.spliced.frozen_pages import FrozenPages
from engine.images.stats import DumpStats, microseconds
from engine.kernel.urgency import urgent

_BEFORE_FREEZING: Final = "pre-dump"
_FROZEN: Final = "query-ext-files"


class SplicedPart(OurPart):
    """Adds the pages that CRIU leaves to us; used with `with`, for as long as CRIU runs."""

    def __init__(
        self,
        pages: FrozenPages,
        after: After,
        apart: Apart,
        clock: LinkClock,
        *,
        withholds: bool,
        goes_on: Callable[[], None],
        add: Callable[[CriuDirectory], None],
    ) -> None:
        """Nothing is done yet.

        Args:
            pages: what we save.
            after: what becomes of the tree.
            apart: where pages are copied and written, which may have to wait.
            clock: told of every step.
            withholds: whether CRIU is told nothing of large mappings.
            goes_on: called once the tree goes on, or has ended.
            add: as of `OurPart.add`.
        """
        self._pages = pages
        self._after = after
        self._apart = apart
        self._clock = clock
        self._withholds = withholds
        self._goes_on = goes_on
        self._add = add
        self._is_spliced = False
        ours, self._theirs = socket.socketpair()
        ours.close()
        self._urgency = ExitStack()
        """Held from before the tree is frozen until it goes on, or all that is left to do is to write."""

    @property
    def terms(self) -> Terms:
        """The socket is named in a file: RPC has a field for one, and CRIU does not look at it there."""
        socket_fd = self._theirs.fileno()
        return Terms(
            use=Use.SPLICE,
            overseer=self._pages.withheld if self._withholds else None,
            inherited=(socket_fd,),
            config_lines=(f"ps-socket {socket_fd}",),
            leaves_pages=True,
        )

    def heard(self, script: str) -> None:
        """Be quick from now on, or note that the tree is frozen."""
        if script == _BEFORE_FREEZING and not self._clock.has(Step.LOOKED):
            self._urgency.enter_context(urgent())
            self._clock.note(Step.LOOKED)
        if script == _FROZEN and not self._clock.has(Step.FROZEN):
            self._clock.note(Step.FROZEN)

    def while_frozen(self, directory: CriuDirectory, look: Callable[[], None]) -> None:
        """Find and copy the pages, and write them already if the tree may not go on before that."""
        self._pages.plan()
        self._apart.run(partial(self._pages.save, directory), look)
        # What is to be ended, or left stopped, is so only once its link is there; what could not be
        # copied has to be read now.
        if self._after is not After.RUN or not self._pages.is_copied:
            self._urgency.close()
            self._apart.run(partial(self._splice, directory), look, is_urgent=False)

    def _splice(self, directory: CriuDirectory) -> None:
        if not self._is_spliced:
            self._pages.splice(directory)
            self._is_spliced = True

    def thawed(self) -> None:
        """Note it."""
        self._clock.note(Step.THAWED)

    def finish(self, directory: CriuDirectory) -> tuple[str, ...]:
        """Write the pages, unless that was done while the tree was frozen."""
        self._urgency.close()
        self._goes_on()
        if not self._clock.has(Step.THAWED):
            self._clock.note(Step.THAWED)
        self._splice(directory)
        return tuple(self._pages.notes)

    def figures(self, counted: DumpStats) -> DumpStats:
        """The pages by what is listed, the times by our clock."""
        clock = self._clock
        return replace(
            counted,
            pages_scanned=counted.pages_written + counted.pages_skipped_parent,
            freezing_us=microseconds(clock.freezing_s),
            frozen_us=microseconds(clock.frozen_s),
            memdump_us=microseconds(self._pages.collect_s) + microseconds(clock.copy_s),
        )

    def add(self, directory: CriuDirectory) -> None:
        """Add the sidecar."""
        self._add(directory)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the socket; hurry no longer."""
        try:
            self._urgency.close()
        finally:
            self._theirs.close()
