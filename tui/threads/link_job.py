"""Pre-dumps and dumps, each in a thread of its own while the sampler goes on.

A job reports through the same kind of messages as the sampler. Cancelling asks; the engine gives
up at the next place where nothing is lost, and the pages are pending again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.checkpoint.link import LinkProgress, LinkResult
from engine.errors import DirtytopError
from engine.forecast.advisor import Advisor
from engine.forecast.making import make_link
from tui.backend import Backend, Tracking
from tui.messages import LinkMade, LinkNotMade, LinkProgressed, Post
from tui.orders import LinkRequest

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.chain import Chain


class LinkJob:
    """Makes one link.

    Args:
        tracking: the target.
        request: what to make.
        under_way: the chain to which a link can be added, if there is one.
        advisor: of the target; learns from every link.
        backend: where chains come from.
        post: where messages go; must be safe to call from a thread.
    """

    def __init__(
        self,
        tracking: Tracking,
        request: LinkRequest,
        under_way: Chain | None,
        advisor: Advisor,
        backend: Backend,
        post: Post,
    ) -> None:
        self.request = request
        self._tracking = tracking
        self._advisor = advisor
        self._backend = backend
        self._under_way = under_way
        self._post = post
        self._cancelled = threading.Event()
        name = f"{request.kind.value} {tracking.root.pid}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
        began_s = time.time()
        try:
            chain = self._chain()
        except DirtytopError as error:
            self._post(LinkNotMade(self.request, error, self._why_full))
            return
        try:
            result = self._make(chain)
        except DirtytopError as error:
            self._post(self._failure(chain, error, began_s))
        else:
            self._post(LinkMade(chain, result, chain.why_full))

    def _chain(self) -> Chain:
        """The chain under way, or the one that is to take its place. A slow disk may make this wait."""
        order = self.request.chain
        if order is None:
            assert self._under_way is not None, "a link without a chain needs an order for one"
            return self._under_way
        chain = self._backend.open_chain(self._tracking, order)
        if self._under_way is not None:
            # It would keep the soft-dirty bits for itself, and nothing is ever added to it again.
            self._under_way.close()
        return chain

    def _make(self, chain: Chain) -> LinkResult:
        order, after = self.request.chain, self.request.after
        if order is not None:
            self._backend.calibrate(
                self._tracking, self._advisor, replace(order, engine=chain.engine), self._cancelled.is_set
            )
            self._advisor.chain_begun(is_new=not order.is_there)
        cancelled = self._cancelled.is_set
        return make_link(self._advisor, chain, self.request.kind, after, self._progress, cancelled)

    def _failure(self, chain: Chain, error: DirtytopError, began_s: float) -> LinkNotMade:
        log = self._backend.find_log(chain.next_path, began_s)
        if chain is not self._under_way:
            chain.close()
        return LinkNotMade(self.request, error, self._why_full, log)

    @property
    def _why_full(self) -> str:
        """Why the next link of the chain that stays will be a full one."""
        return self._under_way.why_full if self._under_way is not None else ""

    def _progress(self, progress: LinkProgress) -> None:
        self._post(LinkProgressed(progress))
