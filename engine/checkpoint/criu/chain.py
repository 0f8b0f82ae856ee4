"""The engine that calls CRIU: pre-dumps and a dump, of which `criu restore` makes the target again.

CRIU freezes the tree itself and, with memory tracking, begins a new soft-dirty epoch in it, on which its
next link relies: see `epoch.py`.

The epoch begins before a link is done. So after any link that did not come to be, for whatever
reason, the bits tell less than what was written since the last good one: the chain is broken, and the
next link is made without a parent. So it is after a stranger's clear, and if a link was tampered with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.chain_record import NextLink
from engine.checkpoint.claim import ANOTHER_CHAIN, Claim
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.epoch import LentEpoch
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.mapped_root import open_to_mapped_root
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.order import LinkOrder
from engine.checkpoint.criu.part import SmallPart
from engine.checkpoint.criu.run import CriuRun
from engine.checkpoint.criu.selection import choices, would_write
from engine.checkpoint.criu.usable import require_ready, usable_criu
from engine.checkpoint.directory import ChainDirectory, Listing
from engine.checkpoint.freeze_limit import BEYOND_S, limit_s
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress, never, unheeded
from engine.checkpoint.link_clock import LinkClock
from engine.checkpoint.resuming import read_open_chain, record_of, require_chain_of, why_not_the_same
from engine.checkpoint.sidecar import sidecar_of, write_sidecar_of_dump
from engine.errors import NotTrusted, TargetGone
from engine.images.layout import SIDECAR, LinkKind
from engine.images.link import read_link
from engine.kernel.process import innermost_pid
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.printable import printable
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
        goes_on: bool = False,
    ) -> None:
        """Begin a chain, whose first link will be a full one; or see `go_on`.

        Args:
            session: the target; it need not be armed.
            directory: made if it is missing, private to us; must hold no images.
            options: how CRIU is to make the links.
            criu: which one; None finds it.
            trusts_directory: whether others may be able to exchange the directory. Then a dump is all
                that can be made in it: CRIU finds a parent by name.
            goes_on: whether it is as of `go_on`.

        Raises:
            NotSupported: there is no CRIU, or it does not work here or cannot do what `options` say.
            NotPermitted: we are not root.
            ShellJobNeeded: the root is no session leader, and `options` do not say `shell_job`.
            TargetGone: the root has exited.
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange the directory, and are not trusted.
        """
        images = read_open_chain(directory) if goes_on else None
        sidecar = require_chain_of(images, session.root, self.engine) if images is not None else None
        self.criu = usable_criu(criu, options, session, Use.LINK)
        self.options = options
        self.freeze_timeout_s = BEYOND_S
        self._session = session
        if images is None or sidecar is None:
            self._claim = Claim.begin(self.engine, session, directory, trusts=trusts_directory)
            self._record, self._epoch = self._claim.record, LentEpoch(self._claim)
            return
        place = ChainDirectory.go_on(directory, images)
        self._record = record_of(images, self.engine, directory, place)
        self._claim = Claim(session, place, self._record)
        self._epoch = LentEpoch(self._claim)
        session.follow_tree()
        broken = why_not_the_same(images, sidecar) or self._epoch.adopt(sidecar)
        self._claim.take()
        if broken:
            self._record.break_off(broken)
        else:
            self._epoch.lend()

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
        why_armed = self._epoch.why_armed if self.links and not self.is_ended else ""
        return self._claim.why_full or why_armed

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
        opened = self._claim.place.opened
        if not opened.is_ours:
            raise NotTrusted(
                f"criu makes no pre-dumps in {printable(str(self.directory))}, where others could lead it "
                f"to another parent: {opened.other}",
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
        self.close()
        return result

    def close(self) -> None:
        """Make no more links: give the soft-dirty bits back. May be called twice."""
        self._epoch.give_back()
        self._record.break_off("the chain was closed")
        self._claim.place.close()

    # -- one link

    def _add(self, kind: LinkKind, after: After, progress: Progress, cancelled: Cancelled) -> LinkResult:
        clock, record, place = LinkClock(), self._record, self._claim.place
        record.require_open()
        require_ready(self._session)
        self._look_for_disturbance(kind)
        link = record.next_link(kind)
        order = self._order(link, after)
        notes: tuple[str, ...] = ()
        with self._under_way(link) as session_waits:

            def goes_on() -> None:
                if kind is LinkKind.PRE_DUMP:
                    self._epoch.begun()
                    self._claim.looked()
                    session_waits.close()

            part = SmallPart(goes_on, partial(self._add_sidecar, kind))
            with Apart() as apart:
                made = CriuRun(self.criu, self.options, order, progress, cancelled, apart, part).run()
            if kind is LinkKind.DUMP and link.parent:
                self._epoch.ended()
            seen = place.fingerprint(link.path)
            self._settle(place.read_listing(link.path, seen))
        if kind is LinkKind.DUMP:
            notes = open_to_mapped_root(link.path, is_ours=place.opened.is_ours)
        result = clock.done(
            link,
            made,
            restorable=kind is LinkKind.DUMP,
            not_held=_PRE_DUMPS_LACK if kind is LinkKind.PRE_DUMP else (),
            notes=(*link.notes, *notes),
        )
        record.finish(result, [(link.path, seen)])
        if kind is LinkKind.PRE_DUMP and self._epoch.why_unwatched:
            record.break_off(self._epoch.why_unwatched)
        return result

    def _look_for_disturbance(self, kind: LinkKind) -> None:
        """Find out what speaks against building on the last link."""
        record, claim, session = self._record, self._claim, self._session
        with session.held():
            if claim.is_lost:
                claim.take()
                # A native chain of the same session clears the same bits.
                if abilities_of(session.tracker).shares_epochs:
                    record.break_off(ANOTHER_CHAIN)
        if not record.parts:
            return
        why = claim.why_changed()
        if not why:
            parent = read_link(record.parts[-1][0])
            left_out = choices(session, kind, parent, self.options.pre_dump_mode, self.criu)
            why = self._epoch.disturbance(left_out, parent)
        if why:
            record.break_off(why)

    def _order(self, link: NextLink, after: After) -> LinkOrder:
        parent = read_link(link.parent) if link.parent else None
        expected = would_write(self._session, link.kind, parent, self.options.pre_dump_mode, self.criu)
        expected_bytes = sum(expected.values()) * PAGE_SIZE
        return LinkOrder(
            kind=link.kind,
            root=self._session.root,
            path=link.path,
            above=self._claim.place.opened,
            parent=parent.path if parent else None,
            after=after,
            expected_bytes=expected_bytes,
            # A pre-dump is written once the target runs again.
            most_frozen_s=limit_s(
                self.freeze_timeout_s, len(expected), expected_bytes, to_disk=link.kind is LinkKind.DUMP
            ),
        )

    @contextmanager
    def _under_way(self, link: NextLink) -> Iterator[ExitStack]:
        """What holds for as long as CRIU works; the stack holds off the session while the tree is frozen."""
        if link.kind is LinkKind.PRE_DUMP:
            self._epoch.lend()
        with ExitStack() as session_waits:
            self._epoch.expect(session_waits.enter_context(self._session.held()))
            with self._claim.under_way():
                try:
                    yield session_waits
                except BaseException:
                    self._record.break_off(f"{link.kind.value} {link.number} was begun and not completed")
                    raise

    def _add_sidecar(self, kind: LinkKind, directory: CriuDirectory) -> None:
        session, version, epoch = self._session, self.criu.version_text, self._epoch
        if kind is LinkKind.DUMP:
            write_sidecar_of_dump(directory, session, self.engine, version)
            return
        with directory.reading() as place:
            sidecar = sidecar_of(session, self.engine, place, epoch.canaries, epoch.marks, version)
        directory.write(SIDECAR, sidecar.encode())

    def _settle(self, listing: Listing) -> None:
        """What the link lists is no longer pending, unless written since."""
        with self._session.held() as processes:
            self._claim.settle({process: _covered(listing, process) for process in processes})


def _covered(listing: Listing, process: TrackedProcess) -> PageSet:
    try:
        pid = innermost_pid(process.identity.pid)
    except TargetGone:
        return EMPTY
    return listing.pages.get(pid, EMPTY)
