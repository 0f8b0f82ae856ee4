"""The engine that makes restorable chains on every kernel: links of our own, then one made with CRIU.

CRIU's incremental dumps need soft-dirty bits, and stop the target for each link. Here all links but the last
are ours (`make_pre_dump`): by write-protection they never stop it. The last is CRIU's own dump, but
for private anonymous memory, which is most of a process: of that we copy what is pending while CRIU
holds the tree frozen, and leave the rest to our parents. CRIU's images are rewritten to say so, and are
then what `criu restore` has always taken.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.chain_record import NextLink
from engine.checkpoint.claim import Claim
from engine.checkpoint.copy_buffer import copy_buffer
from engine.checkpoint.copying import CopyProgress
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.mapped_root import open_to_mapped_root
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.order import LinkOrder
from engine.checkpoint.criu.run import CriuRun
from engine.checkpoint.criu.usable import require_ready, usable_criu
from engine.checkpoint.freeze_limit import BEYOND_S
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress, never, unheeded
from engine.checkpoint.link_clock import LinkClock
from engine.checkpoint.own_pre_dump import make_pre_dump
from engine.checkpoint.sidecar import write_sidecar_of_dump
from engine.checkpoint.spliced.frozen_pages import FrozenPages
from engine.checkpoint.spliced.part import SplicedPart
from engine.checkpoint.spliced.withheld import can_withhold
from engine.images.layout import LinkKind
from engine.kernel.process import require_same
from engine.tracking.session import Session

_DEFAULT_OPTIONS: Final = CriuOptions()


class SplicedChain:
    """A chain of links 1, 2, … in one directory: pre-dumps of ours, and a dump that can be restored."""

    engine = Engine.SPLICED

    def __init__(
        self,
        session: Session,
        directory: Path,
        options: CriuOptions = _DEFAULT_OPTIONS,
        criu: Criu | None = None,
        *,
        trusts_directory: bool = False,
        goes_on: bool = False,
    ) -> None:
        """Begin a chain, whose first link will be a full one; or see `go_on`.

        Args:
            session: the target; it is armed by the first link if it is not yet.
            directory: made if it is missing, private to us; must hold no images.
            options: how CRIU is to make its part of the dump.
            criu: which one; None finds it.
            trusts_directory: whether others may be able to exchange the directory.
            goes_on: whether it is as of `go_on`.

        Raises:
            NotSupported: there is no CRIU, or it does not work here or cannot do what `options` say.
            NotPermitted: we are not root.
            ShellJobNeeded: the root is no session leader, and `options` do not say `shell_job`.
            TargetGone: the root has exited.
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange the directory, and are not trusted.
        """
        self.criu = usable_criu(criu, options, session, Use.SPLICE)
        self.options = options
        self.freeze_timeout_s = BEYOND_S
        self._session = session
        self._claim = (
            Claim.go_on(self.engine, session, directory)
            if goes_on
            else Claim.begin(self.engine, session, directory, trusts=trusts_directory)
        )
        self._record = self._claim.record

    @classmethod
    def go_on(
        cls,
        session: Session,
        directory: Path,
        options: CriuOptions = _DEFAULT_OPTIONS,
        criu: Criu | None = None,
    ) -> Self:
        """Go on with a chain of pre-dumps of ours. See `MemoryChain.go_on`, and for the rest `__init__`."""
        return cls(session, directory, options, criu, goes_on=True)

    @property
    def directory(self) -> Path:
        """Where the links are made."""
        return self._record.directory

    @property
    def next_path(self) -> Path:
        """Where the next link will be."""
        return self._record.next_path

    @property
    def links(self) -> tuple[LinkResult, ...]:
        """Those there are, oldest first."""
        return self._record.links

    @property
    def is_ended(self) -> bool:
        """True after a dump: nothing can be added."""
        return self._record.is_ended

    @property
    def why_full(self) -> str:
        """Why the next link will be a full one, as far as is known: it is for the next link to look."""
        return self._claim.why_full

    def pre_dump(self, progress: Progress = unheeded, cancelled: Cancelled = never) -> LinkResult:
        """Save what is pending while the target runs. Arguments and errors as of `make_pre_dump`."""
        return make_pre_dump(self._claim, progress, cancelled)

    def dump(
        self, after: After = After.RUN, progress: Progress = unheeded, cancelled: Cancelled = never
    ) -> LinkResult:
        """Stop the tree, save all that a restore needs, and end the chain.

        Ticks of the session wait while the tree is stopped.

        Args:
            after: what becomes of the tree. It is stopped or killed only once the images are durable; if it
                is to run on it does so as soon as what is pending has been copied to memory.
            progress: told how far it is, from this thread.
            cancelled: asked some twenty times a second, until all is written.

        Raises:
            LinkFailed: CRIU failed, or the disk would not take it; the message says why. `FrozenTooLong`.
            AlreadyTraced: a process of the tree is being debugged.
            TargetGone: the root has exited. Cancelled: `cancelled` said so.
            In each case there is no link, the tree runs on, and its pages are pending as before.
        """
        clock, claim, session = LinkClock(), self._claim, self._session
        require_same(session.root)
        claim.renew()
        require_ready(session)
        link = claim.record.next_link(LinkKind.DUMP)
        parent = claim.place.read_listing(*claim.record.parts[-1]) if link.parent else None
        apart = Apart()
        gauge = CopyProgress(apart.unless_left(progress), lambda: apart.is_left or cancelled())
        with claim.under_way(), apart, apart.things() as held:
            buffer = held.enter_context(copy_buffer(session))
            pages = held.enter_context(FrozenPages(session, self.criu, parent, buffer, gauge, clock))
            order = self._order(link, after)
            with ExitStack() as session_waits:
                session_waits.enter_context(session.held())
                with SplicedPart(
                    pages,
                    after,
                    apart,
                    clock,
                    withholds=can_withhold(self.criu, order.root),
                    goes_on=session_waits.close,
                    add=self._add_sidecar,
                ) as part:
                    made = CriuRun(self.criu, self.options, order, progress, cancelled, apart, part).run()
            claim.settle(pages.covered)
        result = clock.done(
            link,
            made,
            restorable=True,
            read_s=gauge.read_s,
            notes=(
                *link.notes,
                *open_to_mapped_root(link.path, is_ours=claim.place.opened.is_ours),
                *claim.clear_notes,
            ),
            beyond_pending_pages=max(0, made.pages_written - pages.pending_pages),
        )
        return claim.finish(result)

    def _order(self, link: NextLink, after: After) -> LinkOrder:
        with self._session.held() as processes:
            pending_bytes = sum(process.pending.size_bytes for process in processes)
        return LinkOrder(
            kind=link.kind,
            root=self._session.root,
            path=link.path,
            above=self._claim.place.opened,
            parent=None,
            after=after,
            expected_bytes=pending_bytes,
            most_frozen_s=self._claim.limit_s(
                self.freeze_timeout_s, pending_bytes, to_disk=after is not After.RUN
            ),
        )

    def _add_sidecar(self, directory: CriuDirectory) -> None:
        write_sidecar_of_dump(directory, self._session, self.engine, self.criu.version_text)

    def close(self) -> None:
        """Make no more links, and let go of the directory. May be called twice."""
        self._claim.place.close()
