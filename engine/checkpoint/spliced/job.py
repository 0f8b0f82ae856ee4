"""A dump made by CRIU and us together.

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
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from engine.checkpoint.apart import Apart
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.job import CriuMade, CriuRun, LinkOrder
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.link import After, Cancelled, Progress
from engine.checkpoint.spliced.frozen_pages import FrozenPages
from engine.checkpoint.spliced.withheld import can_withhold
from engine.images.proto.rpc_pb2 import CriuReq
from engine.images.stats import DumpStats
from engine.kernel.urgency import urgent

_BEFORE_FREEZING: Final = "pre-dump"
_FROZEN: Final = "query-ext-files"


class SpliceJob(CriuRun):
    """Has CRIU make a dump, and adds the pages that it leaves to us."""

    _use = Use.SPLICE

    def __init__(
        self,
        criu: Criu,
        options: CriuOptions,
        order: LinkOrder,
        progress: Progress,
        cancelled: Cancelled,
        apart: Apart,
        pages: FrozenPages,
        thawed: Callable[[], None],
        added: Callable[[CriuDirectory], None],
    ) -> None:
        """Nothing is done yet.

        Args:
            criu: which one; that it can do what is ordered has been made sure of.
            options: what the user chose.
            order: a dump; CRIU is told nothing of a parent, so it has none.
            progress: told how far it is.
            cancelled: asked some twenty times a second, until the tree has been told to stop or to end.
            apart: where all is done that may have to wait while the tree is frozen.
            pages: what we save.
            thawed: called once the tree goes on, or has ended.
            added: called when all of it is written, to write what belongs into the link besides.
        """
        super().__init__(criu, options, order, progress, cancelled, apart, thawed, added)
        self._pages = pages
        if can_withhold(criu, order.root):
            self._overseer = pages.withheld
        self._goes_on = thawed
        self.freezing_at_s = 0.0
        """When CRIU began to stop the tree, by `time.perf_counter`."""
        self._frozen_s = self._thawed_s = 0.0
        self._is_spliced = False
        self._urgency = ExitStack()
        """Held from before the tree is frozen until it goes on, or all that is left to do is to write."""

    def run(self) -> CriuMade:
        """See `CriuRun.run`."""
        ours, theirs = socket.socketpair()
        ours.close()
        with theirs, self._urgency:
            self._inherited = (theirs.fileno(),)
            return super().run()

    def _request(self, directory: CriuDirectory) -> CriuReq:
        request = super()._request(directory)
        request.opts.lazy_pages = True
        request.opts.track_mem = False
        return request

    def _config_lines(self) -> tuple[str, ...]:
        # RPC has a field for a socket, and CRIU does not look at it where lazy pages are asked for.
        return (f"ps-socket {self._inherited[0]}",)

    def _approve(self, script: str, directory: CriuDirectory) -> bool:
        if script == _BEFORE_FREEZING:
            self._urgency.enter_context(urgent())
            self.freezing_at_s = self._frozen_s = time.perf_counter()
        if script == _FROZEN:
            self._frozen_s = time.perf_counter()
        return super()._approve(script, directory)

    def _while_frozen(self, directory: CriuDirectory) -> None:
        self._pages.plan()
        self._apart.run(partial(self._pages.save, directory), self._heed)
        # What is to be ended, or left stopped, is so only once its link is there; what could not be
        # copied has to be read now.
        if self._order.after is not After.RUN or not self._pages.is_copied:
            self._urgency.close()
            self._apart.run(partial(self._splice, directory), self._heed, is_urgent=False)

    def _splice(self, directory: CriuDirectory) -> None:
        if not self._is_spliced:
            self._pages.splice(directory)
            self._is_spliced = True

    def _tell_thawed(self) -> None:
        # Told again and again while CRIU works; the last time is with its answer.
        self._thawed_s = time.perf_counter()

    def _finish(self, directory: CriuDirectory, notes: list[str]) -> CriuMade:
        self._urgency.close()
        self._goes_on()
        self._splice(directory)
        return super()._finish(directory, [*notes, *self._pages.notes])

    def _stats(self, directory: CriuDirectory) -> DumpStats:
        return self._count(directory)

    def _count(self, directory: CriuDirectory) -> DumpStats:
        """The pages by what is listed, the times by our clock.

        Serving lazy pages sets CRIU's own figures to zero.
        """
        counted = super()._count(directory)
        until_s = self._thawed_s if self._is_approved else time.perf_counter()
        return replace(
            counted,
            pages_scanned=counted.pages_written + counted.pages_skipped_parent,
            freezing_us=int((self._frozen_s - self.freezing_at_s) * 1e6),
            frozen_us=int((until_s - self._frozen_s) * 1e6),
            memdump_us=int((self._pages.collect_s + self._pages.copy_s) * 1e6),
        )
