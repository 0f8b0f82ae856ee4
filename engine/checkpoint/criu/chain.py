"""The engine that calls CRIU: pre-dumps and a dump, of which `criu restore` makes the target again.

CRIU freezes the tree itself and, with memory tracking, begins a new soft-dirty epoch in it. That epoch
is CRIU's: what it finds dirty at the next link is all that it saves. From a chain's first pre-dump to
its end nobody else may clear the bits. The session it was made with is told so (`Session.lend_epoch`),
and only reads them until it has them back; strangers are noticed by `EpochWatch`.

The epoch begins before a link is done. So after any link that did not come to be, for whatever
reason, the bits tell less than what was written since the last good one: the chain is broken, and the
next link is made without a parent. So it is after a stranger's clear, and if a link was tampered with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.criu.job import CriuMade, CriuRun, LinkOrder
from engine.checkpoint.criu.mapped_root import open_to_mapped_root
from engine.checkpoint.criu.obeyed import require_config
from engine.checkpoint.criu.options import CriuOptions, require_session_leader, require_untraced
from engine.checkpoint.criu.selection import choices, would_write
from engine.checkpoint.criu.unseen import why_not_left_out
from engine.checkpoint.directory import ChainDirectory, Listing
from engine.checkpoint.fingerprint import Fingerprint
from engine.checkpoint.freeze_limit import BEYOND_S, limit_s
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress, has_ended, never, unheeded
from engine.checkpoint.resuming import read_open_chain, require_chain_of, why_not_the_same
from engine.checkpoint.sidecar import Sidecar, sidecar_of, sidecar_of_dump
from engine.errors import DirtytopError, NotTrusted, TargetGone
from engine.images.layout import SIDECAR, LinkKind
from engine.images.link import read_link
from engine.kernel.process import Identity, innermost_pid, require_same
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.printable import printable
from engine.tracking.canary import Canary
from engine.tracking.epoch_watch import EpochWatch
from engine.tracking.held_processes import HeldProcesses
from engine.tracking.session import Session
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.trackers import abilities_of

_PRE_DUMPS_LACK: Final = ("all but private memory: registers, open files, shared memory (the dump has them)",)


_DEFAULT_OPTIONS: Final = CriuOptions()


class CriuChain:
    """A chain of links 1, 2, … in one directory, made by CRIU.

    From its first pre-dump until `dump` or `close` the soft-dirty bits of the tree are CRIU's: the session
    refuses to arm and to re-arm meanwhile, for CRIU would leave out pages that have changed.
    """

    engine = Engine.CRIU

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
            session: the target; it need not be armed.
            directory: made if it is missing, private to us; must hold no images.
            options: how CRIU is to make the links.
            criu: which one; None finds it.
            trusts_directory: whether others may be able to exchange the directory. Then a dump is all
                that can be made in it: on the way to a parent CRIU goes by names.

        Raises:
            NotSupported: there is no CRIU, or it does not work here or cannot do what `options` say.
            NotPermitted: we are not root.
            ShellJobNeeded: the root is no session leader, and `options` do not say `shell_job`.
            TargetGone: the root has exited.
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange the directory, and are not trusted.
        """
        self._begin(session, directory, options, criu)
        self._place = ChainDirectory.begin(directory, trusts=trusts_directory)
        self._next_number = self._place.last_number + 1
        session.forget_images(self)

    def _begin(self, session: Session, directory: Path, options: CriuOptions, criu: Criu | None) -> None:
        self.criu = criu or examine_criu()
        self.criu.require_dump()
        options.require_possible(self.criu)
        require_config(Use.LINK, options.config_file)
        if not options.shell_job:
            require_session_leader(session.root.pid)
        self.directory = directory
        self.freeze_timeout_s = BEYOND_S
        self.options = options
        self.links: tuple[LinkResult, ...] = ()
        self.is_ended = False
        self.broken = ""
        """Why the next link cannot build on the last one, in words; empty if it can."""
        self._session = session
        self._watch = EpochWatch()
        self._fingerprints: list[tuple[Path, Fingerprint]] = []

    @classmethod
    def go_on(
        cls,
        session: Session,
        directory: Path,
        options: CriuOptions = _DEFAULT_OPTIONS,
        criu: Criu | None = None,
    ) -> Self:
        """Go on with a chain that an earlier dirtytop had CRIU make of the same target.

        The next link builds on the last one if the epoch that began with it is undisturbed. If it is
        not, that link is a full one, and `notes` of it say why.

        Args:
            session: the target; not armed by soft-dirty yet, because that would begin an epoch.
            directory: holds links 1, 2, ….
            options, criu: as for a new chain.

        Raises:
            BadImage: the links cannot be read.
            LinkFailed: they are of another process or another engine, or have ended with a dump.
            NotTrusted: others can exchange them.
            NotSupported, NotPermitted, ShellJobNeeded, TargetGone: as for a new chain.
            Whatever chain the session is in the middle of then goes on as if nothing had been asked.
        """
        images = read_open_chain(directory)
        sidecar = require_chain_of(images, session.root, cls.engine)
        chain = cls.__new__(cls)
        chain._begin(session, directory, options, criu)
        chain._place = ChainDirectory.go_on(directory, images)
        chain._next_number = chain._place.last_number + 1
        chain.links = tuple(LinkResult.of_earlier(info, cls.engine) for info in images.infos())
        chain._fingerprints = [(link.path, chain._place.fingerprint(link.path)) for link in images.links]
        session.follow_tree()
        chain._watch.adopt(
            {process.identity: process.canary for process in sidecar.processes},
            {process.identity: process.marks for process in sidecar.processes},
        )
        chain.broken = (
            why_not_the_same(images, sidecar) or chain._other_program(sidecar) or chain._watch.disturbance()
        )
        session.forget_images(chain)
        if not chain.broken:
            session.lend_epoch(chain)
        return chain

    @property
    def next_path(self) -> Path:
        """Where the next link will be."""
        return self.directory / str(self._next_number)

    def pre_dump(self, progress: Progress = unheeded, cancelled: Cancelled = never) -> LinkResult:
        """Save what was written since the last link; the target is stopped for a part of it.

        Ticks of the session wait while the target is stopped.

        Args:
            progress: told how far it is, from this thread.
            cancelled: asked some twenty times a second. CRIU is then made to fail, and undoes
                what it has done in the target.

        Raises:
            NotSupported: CRIU cannot track memory here.
            NotTrusted: others can exchange the directory.
            LinkFailed: CRIU failed; the message says why, and where its log is. `FrozenTooLong`.
            AlreadyTraced: a process of the tree is being debugged.
            TargetGone: the root has exited. Cancelled: `cancelled` said so.
            In each case there is no link, the target runs on, and the next link will be a full one.
        """
        self.criu.require_memory_tracking()
        if not self._place.opened.is_ours:
            raise NotTrusted(
                f"criu makes no pre-dumps in {printable(str(self.directory))}, where it could be led "
                f"elsewhere on the way to a parent: {self._place.opened.other}",
                hint="make the dump alone (`--pre-dumps 0`), or pre-dumps with `--engine spliced`",
            )
        return self._add(LinkKind.PRE_DUMP, After.RUN, progress, cancelled)

    def dump(
        self, after: After = After.RUN, progress: Progress = unheeded, cancelled: Cancelled = never
    ) -> LinkResult:
        """Stop the tree, save all that a restore needs, and end the chain.

        Args:
            after: what becomes of the tree. It is stopped or killed only once the images are durable.
            progress: told how far it is, from this thread.
            cancelled: asked some twenty times a second, until all is written.

        Raises:
            As of `pre_dump`; the tree then runs on, whatever `after` says.
        """
        result = self._add(LinkKind.DUMP, after, progress, cancelled)
        self.is_ended = True
        self._place.close()
        self.close()
        return result

    def close(self) -> None:
        """Make no more links: give the soft-dirty bits back. May be called twice."""
        self._session.take_back_epoch(self)
        self.broken = self.broken or "the chain was closed"
        self._place.close()

    @property
    def why_full(self) -> str:
        """Why the next link will be a full one; empty if it can build on the last, or is the first."""
        return self.broken if self.links else ""

    # -- one link

    def _add(self, kind: LinkKind, after: After, progress: Progress, cancelled: Cancelled) -> LinkResult:
        began_s = time.perf_counter()
        self._require_possible()
        self.broken = self.broken or self._disturbance(kind)
        notes = [f"{self.broken}: this link is a full one"] if self.links and self.broken else []
        parent = None if self.broken or not self.links else read_link(self.links[-1].path)
        mode = self.options.pre_dump_mode
        expected = would_write(self._session, kind, parent, mode, self.criu)
        expected_bytes = sum(expected.values()) * PAGE_SIZE
        order = LinkOrder(
            kind=kind,
            root=self._session.root,
            path=self.next_path.absolute(),
            above=self._place.opened,
            parent=parent.path if parent else None,
            after=after,
            expected_bytes=expected_bytes,
            # A pre-dump is written once the target runs again.
            most_frozen_s=limit_s(
                self.freeze_timeout_s, len(expected), expected_bytes, to_disk=kind is LinkKind.DUMP
            ),
        )
        with self._under_way(kind) as session_waits:

            def thawed() -> None:
                self._watch_over_epoch()
                session_waits.close()

            def add_sidecar(directory: CriuDirectory) -> None:
                version, watch = self.criu.version_text, self._watch
                with directory.reading() as place:
                    sidecar = (
                        sidecar_of(self._session, self.engine, place, watch.canaries, watch.marks, version)
                        if kind is LinkKind.PRE_DUMP
                        else sidecar_of_dump(self._session, self.engine, place, version)
                    )
                directory.write(SIDECAR, sidecar.encode())

            with Apart() as apart:
                job = CriuRun(self.criu, self.options, order, progress, cancelled, apart, thawed, add_sidecar)
                made = job.run()
            if kind is LinkKind.DUMP and parent:
                self._tell_session({})
            seen = self._place.fingerprint(order.path)
            self._settle(self._place.read_listing(order.path, seen))
        if kind is LinkKind.DUMP:
            notes += open_to_mapped_root(order.path, is_ours=self._place.opened.is_ours)
        if not parent:
            self._fingerprints.clear()
        self._fingerprints.append((order.path, seen))
        return self._done(order, made, notes, began_s)

    def _require_possible(self) -> None:
        if self.is_ended:
            raise has_ended(self.directory)
        require_same(self._session.root)
        self._session.follow_tree()
        with self._session.held() as processes:
            for process in processes:
                require_untraced(process.identity.pid)

    def _other_program(self, sidecar: Sidecar) -> str:
        """Which process has started another program since a link was made, in words; empty if none."""
        known = {process.identity: process.memory_identity for process in sidecar.processes}
        with self._session.held() as processes:
            for process in processes:
                if known.get(process.identity, process.program) != process.program:
                    return f"process {process.identity.pid} has started another program since the last link"
        return ""

    def _disturbance(self, kind: LinkKind) -> str:
        """What speaks against building on the last link, in words; empty if nothing does."""
        with self._session.held():
            if self._session.image_owner is not self:
                self._session.forget_images(self)
                # A native chain of the same session clears the same bits.
                if abilities_of(self._session.tracker).shares_epochs:
                    return "another chain was made of this target meanwhile"
        if changed := self._place.changed(self._fingerprints):
            return f"{printable(str(changed))} was changed or removed since it was made"
        if not self.links:
            return ""
        parent, mode = read_link(self.links[-1].path), self.options.pre_dump_mode
        left_out = choices(self._session, kind, parent, mode, self.criu)
        return self._watch.disturbance() or why_not_left_out(left_out, parent, self._watch)

    @contextmanager
    def _under_way(self, kind: LinkKind) -> Iterator[ExitStack]:
        """What holds for as long as CRIU works; the stack holds off the session while the tree is frozen."""
        if kind is LinkKind.PRE_DUMP:
            self._session.lend_epoch(self)
        with ExitStack() as session_waits:
            self._note_writes_from_now_on(session_waits.enter_context(self._session.held()))
            try:
                yield session_waits
            except BaseException:
                self.broken = f"{kind.value} {self._next_number} was begun and not completed"
                self._session.abandon_link(self)
                raise

    def _note_writes_from_now_on(self, processes: HeldProcesses) -> None:
        """What is pending after this link is what was written since about now.

        Where epochs are shared, CRIU begins one itself, with its own clear.
        """
        shares_epochs = abilities_of(self._session.tracker).shares_epochs
        for process in processes:
            if process.is_tracked:
                try:
                    if shares_epochs:
                        process.expect_link()
                    else:
                        process.plan_link()
                except TargetGone:
                    continue

    def _watch_over_epoch(self) -> None:
        """CRIU has begun an epoch, and has just let the tree go on."""
        self.broken = ""
        try:
            with self._session.held() as processes:
                self._watch.begin(process.identity for process in processes)
        except DirtytopError as error:
            self.broken = f"nobody could watch over the soft-dirty bits ({error.message})"
        self._tell_session(self._watch.canaries)

    def _tell_session(self, canaries: Mapping[Identity, Canary | None]) -> None:
        """That the clear which it is about to see was CRIU's, for us."""
        with self._session.held() as processes:
            for process in processes:
                process.follow_epoch(canaries.get(process.identity))

    def _settle(self, listing: Listing) -> None:
        """What the link lists is no longer pending, unless written since."""
        with self._session.held() as processes:
            covered = {process: _covered(listing, process) for process in processes}
            self._session.finish_link(self, covered)

    def _done(self, order: LinkOrder, made: CriuMade, notes: list[str], began_s: float) -> LinkResult:
        stats = made.stats
        result = LinkResult(
            number=self._next_number,
            kind=order.kind,
            path=order.path,
            engine=self.engine,
            pages_written=stats.pages_written + stats.shpages_written,
            pages_in_parent=stats.pages_skipped_parent + stats.shpages_skipped_parent,
            size_bytes=made.size_bytes,
            stopped_us=stats.frozen_us,
            copy_s=(stats.memdump_us + stats.memwrite_us) / 1e6,
            sync_s=made.sync_s,
            seconds=time.perf_counter() - began_s,
            restorable=order.kind is LinkKind.DUMP,
            not_held=_PRE_DUMPS_LACK if order.kind is LinkKind.PRE_DUMP else (),
            notes=(*notes, *made.notes),
        )
        self.links = (*self.links, result)
        self._next_number += 1
        return result


def _covered(listing: Listing, process: TrackedProcess) -> PageSet:
    try:
        pid = innermost_pid(process.identity.pid)
    except TargetGone:
        return EMPTY
    return listing.pages.get(pid, EMPTY)
