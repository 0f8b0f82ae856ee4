"""The engine that makes restorable chains on every kernel: links of our own, then one made with CRIU.

CRIU's incremental dumps need soft-dirty bits, and stop the target for each link. Here all links but the last
are ours (`MemoryChain.pre_dump`): by write-protection they never stop it. The last is CRIU's own dump, but
for private anonymous memory, which is most of a process: of that we copy what is pending while CRIU
holds the tree frozen, and leave the rest to our parents. CRIU's images are rewritten to say so, and are
then what `criu restore` has always taken.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.copy_buffer import copy_buffer
from engine.checkpoint.copying import CopyProgress
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.criu.job import LinkOrder
from engine.checkpoint.criu.mapped_root import open_to_mapped_root
from engine.checkpoint.criu.obeyed import require_config
from engine.checkpoint.criu.options import CriuOptions, require_session_leader, require_untraced
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, LinkTimes, Progress, never, unheeded
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.sidecar import sidecar_of_dump
from engine.checkpoint.spliced.frozen_pages import FrozenPages
from engine.checkpoint.spliced.job import SpliceJob
from engine.images.layout import SIDECAR, LinkKind
from engine.kernel.process import require_same
from engine.tracking.session import Session

_DEFAULT_OPTIONS: Final = CriuOptions()


def _usable(criu: Criu | None, options: CriuOptions, session: Session) -> Criu:
    """A CRIU that can do what the options say with this target. Errors as of `SplicedChain`."""
    found = criu or examine_criu()
    found.require_dump()
    options.require_possible(found)
    require_config(Use.SPLICE, options.config_file)
    if not options.shell_job:
        require_session_leader(session.root.pid)
    return found


class SplicedChain(MemoryChain):
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
    ) -> None:
        """Begin a chain; its first link will be a full one.

        Args:
            session: the target; it is armed by the first link if it is not yet.
            directory: made if it is missing, private to us; must hold no images.
            options: how CRIU is to make its part of the dump.
            criu: which one; None finds it.
            trusts_directory: whether others may be able to exchange the directory.

        Raises:
            NotSupported: there is no CRIU, or it does not work here or cannot do what `options` say.
            NotPermitted: we are not root.
            ShellJobNeeded: the root is no session leader, and `options` do not say `shell_job`.
            TargetGone: the root has exited.
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange the directory, and are not trusted.
        """
        self.criu = _usable(criu, options, session)
        self.options = options
        super().__init__(session, directory, trusts_directory=trusts_directory)

    @classmethod
    def go_on(
        cls,
        session: Session,
        directory: Path,
        options: CriuOptions = _DEFAULT_OPTIONS,
        criu: Criu | None = None,
    ) -> Self:
        """Go on with a chain of pre-dumps of ours. See `MemoryChain.go_on`, and for the rest `__init__`."""
        usable = _usable(criu, options, session)
        chain = super().go_on(session, directory)
        chain.criu = usable
        chain.options = options
        return chain

    def _add_sidecar(self, directory: CriuDirectory) -> None:
        with directory.reading() as place:
            sidecar = sidecar_of_dump(self._session, self.engine, place, self.criu.version_text)
        directory.write(SIDECAR, sidecar.encode())

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
        began_s = time.perf_counter()
        require_same(self._session.root)
        notes = self._take_over()
        self._session.follow_tree()
        with self._session.held() as processes:
            for process in processes:
                require_untraced(process.identity.pid)
        parent = self._place.read_listing(*self._fingerprints[-1]) if self._fingerprints else None
        apart = Apart()
        gauge = CopyProgress(apart.unless_left(progress), lambda: apart.is_left or cancelled())
        try:
            with apart, apart.things() as held:
                buffer = held.enter_context(copy_buffer(self._session))
                pages = held.enter_context(FrozenPages(self._session, self.criu, parent, buffer, gauge))
                with self._session.held() as processes:
                    pending_bytes = sum(process.pending.size_bytes for process in processes)
                order = LinkOrder(
                    kind=LinkKind.DUMP,
                    root=self._session.root,
                    path=self.next_path.absolute(),
                    above=self._place.opened,
                    parent=None,
                    after=after,
                    expected_bytes=pending_bytes,
                    most_frozen_s=self._limit_s(pending_bytes, to_disk=after is not After.RUN),
                )
                with ExitStack() as session_waits:
                    session_waits.enter_context(self._session.held())
                    job = SpliceJob(
                        self.criu,
                        self.options,
                        order,
                        progress,
                        cancelled,
                        apart,
                        pages,
                        session_waits.close,
                        self._add_sidecar,
                    )
                    made = job.run()
                self._session.finish_link(self, pages.covered)
        except BaseException:
            self._session.abandon_link(self)
            raise
        self.is_ended = True
        stats = made.stats
        notes += [*made.notes, *open_to_mapped_root(order.path, is_ours=self._place.opened.is_ours)]
        pages_written = stats.pages_written + stats.shpages_written
        return self._done(
            LinkResult(
                number=self._next_number,
                kind=order.kind,
                path=order.path,
                engine=self.engine,
                pages_written=pages_written,
                pages_in_parent=stats.pages_skipped_parent + stats.shpages_skipped_parent,
                size_bytes=made.size_bytes,
                stopped_us=stats.frozen_us,
                copy_s=pages.copy_s,
                sync_s=made.sync_s,
                seconds=time.perf_counter() - began_s,
                restorable=True,
                notes=tuple(notes),
                times=LinkTimes(
                    lead_s=job.freezing_at_s - began_s,
                    collect_s=pages.copying_at_s - job.freezing_at_s,
                    read_s=gauge.read_s,
                ),
                beyond_pending_pages=max(0, pages_written - pages.pending_pages),
            )
        )
