"""The engine of our own: pre-dumps and dumps of memory and registers, in CRIU's format.

A pre-dump by write-protection never stops the target: collect and protect again, then copy while it
runs; whatever it writes meanwhile is pending again, so the next link has it. By soft-dirty the target
stops for the collect. A dump stops the tree, copies what is pending to memory, reads registers, and
lets it go on before anything is written to disk.

No page is lost: `engine.tracking.clean_pages` says what the last link holds as it is. That grows only once
a link is committed, and only by pages that nothing happened to since that link's collect; a link that
fails, for whatever reason, changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.apart import Apart, heeding
from engine.checkpoint.collecting import collect
from engine.checkpoint.common_link import CommonLink
from engine.checkpoint.copy_buffer import copy_buffer, grow, kept_buffer
from engine.checkpoint.copying import CopyProgress, Stash, copy_to_file
from engine.checkpoint.directory import ChainDirectory
from engine.checkpoint.fingerprint import Fingerprint
from engine.checkpoint.freeze_limit import BEYOND_S, limit_s
from engine.checkpoint.frozen_tree import FrozenTree, read_flags
from engine.checkpoint.link import (
    After,
    Cancelled,
    Engine,
    LinkResult,
    LinkTimes,
    Progress,
    has_ended,
    never,
    unheeded,
)
from engine.checkpoint.omissions import of_dump, of_pre_dump
from engine.checkpoint.resuming import (
    read_earlier_epoch,
    read_open_chain,
    require_chain_of,
    resume_epoch,
)
from engine.checkpoint.rules import lazy_pages
from engine.checkpoint.sidecar import write_sidecar
from engine.checkpoint.tasks import gather, write_images
from engine.errors import TargetGone
from engine.images.layout import LinkKind
from engine.images.stats import DumpStats
from engine.images.writer import Committed, LinkWriter, PagesWriter
from engine.kernel.relatives import Relatives
from engine.kernel.stopping import on_own_thread
from engine.kernel.uptime import uptime_us
from engine.kernel.urgency import urgent
from engine.pageset import EMPTY, PageSet
from engine.printable import printable
from engine.tracking.session import Session
from engine.tracking.tracked_process import TrackedProcess

_CLEARED_MEANWHILE: Final = (
    "another program cleared the soft-dirty bits meanwhile, or the process itself: this link is a full one"
)


class MemoryChain:
    """A chain of links 1, 2, … in one directory, made of a session's pending pages."""

    engine = Engine.MEMORY
    why_full = ""
    """Nothing is known before the next link looks."""

    def __init__(self, session: Session, directory: Path, *, trusts_directory: bool = False) -> None:
        """Begin a chain; its first link will be a full one.

        Args:
            session: the target; it is armed by the first link if it is not yet.
            directory: made if it is missing, private to us; must hold no images.
            trusts_directory: whether others may be able to exchange it.

        Raises:
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange it, and are not trusted.
        """
        self._begin(session, directory, ChainDirectory.begin(directory, trusts=trusts_directory))
        session.forget_images(self)

    def _begin(self, session: Session, directory: Path, place: ChainDirectory) -> None:
        self.directory = directory
        self.freeze_timeout_s = BEYOND_S
        self._place = place
        self.links: tuple[LinkResult, ...] = ()
        self.is_ended = False
        self._next_number = place.last_number + 1
        self._session = session
        self._foreign_clears = 0
        self._fingerprints: list[tuple[Path, Fingerprint]] = []
        self._notes: list[str] = []

    @classmethod
    def go_on(cls, session: Session, directory: Path) -> Self:
        """Go on with a chain that an earlier dirtytop made of the same target.

        What its last link holds need not be saved again if the epoch that began with that link is
        undisturbed: by soft-dirty, if the same processes still run, the link is the one that was made, and
        nobody has cleared since. If not, the next link is a full one; `notes` of it say why.

        Args:
            session: the target; not armed yet, because arming would begin an epoch.
            directory: holds links 1, 2, ….

        Raises:
            BadImage: they cannot be read.
            LinkFailed: they are of another process or another engine, or have ended with a dump.
            NotTrusted: others can exchange them.
            EpochLent, and errors as of `Session.arm`: the session cannot be attached.
            Whatever chain the session is in the middle of then goes on as if nothing had been asked.
        """
        images = read_open_chain(directory)
        sidecar = require_chain_of(images, session.root, MemoryChain.engine)
        epoch = read_earlier_epoch(session, images, sidecar)
        chain = cls.__new__(cls)
        chain._begin(session, directory, ChainDirectory.go_on(directory, images))
        chain.links = tuple(LinkResult.of_earlier(info, cls.engine) for info in images.infos())
        chain._fingerprints = [(link.path, chain._place.fingerprint(link.path)) for link in images.links]
        with session.held() as processes:
            session.attach()
            session.forget_images(chain)
            chain._notes = resume_epoch(session, epoch)
            if not any(process.is_relied_on for process in processes):
                chain._fingerprints.clear()  # nothing is left to those links: the next one needs no parent
        return chain

    @property
    def next_path(self) -> Path:
        """Where the next link will be."""
        return self.directory / str(self._next_number)

    # -- pre-dump

    def pre_dump(self, progress: Progress = unheeded, cancelled: Cancelled = never) -> LinkResult:
        """Save what is pending while the target runs.

        Args:
            progress: told how far it is, from this thread.
            cancelled: asked between pieces of a few MiB.

        Raises:
            LinkFailed: it could not be written. TargetGone: the root has exited.
            Cancelled: `cancelled` said so.
            In each case there is no link, and all its pages are pending as before.
        """
        began_s, gauge = time.perf_counter(), CopyProgress(progress, cancelled)
        notes = self._take_over()
        with self._link(LinkKind.PRE_DUMP, Apart()) as (link, began_us), ExitStack() as held:
            buffer = held.enter_context(kept_buffer(self._session))
            relatives = held.enter_context(Relatives())
            looking_s = time.perf_counter()
            with urgent():
                plans, memories = collect(self._session, held, relatives, stopped=False)
            common = held.enter_context(CommonLink(link, plans))
            gauge.total_bytes = common.needed_bytes
            with self._session.held():
                stopped_us = sum(process.take_stopped_us() for process in plans)
            copying_s = time.perf_counter()
            covered: dict[TrackedProcess, PageSet] = {}

            def copy(process: TrackedProcess, needed: PageSet, pages: PagesWriter) -> PageSet:
                try:
                    return copy_to_file(memories[process], needed, pages, buffer, gauge)
                except TargetGone:
                    if process.identity == self._session.root:
                        raise
                    notes.append(f"process {process.identity.pid} ({process.command}) exited meanwhile")
                    return EMPTY

            common.write(lambda found, pages: copy(found.source, found.pages, pages))
            for number, (process, plan) in enumerate(plans.items(), start=1):
                pages, kept = link.open_pages(process.inner_pid, number), common.kept(process)
                copied = copy(process, plan.needed - kept, pages)
                pages.finish(plan.held | kept, copied & lazy_pages(plan.maps))
                covered[process] = copied | plan.held | kept
            copy_s = time.perf_counter() - copying_s
            gauge.advance("syncing", 0)
            stats = link.counted(DumpStats(frozen_us=stopped_us, memwrite_us=int(copy_s * 1e6)))
            write_sidecar(link, self._session, MemoryChain.engine)
            committed = common.commit(stats, began_us)
            self._session.finish_link(self, covered)
        return self._done(
            LinkResult(
                number=self._next_number,
                kind=LinkKind.PRE_DUMP,
                path=committed.path,
                engine=self.engine,
                pages_written=common.pages_written,
                pages_in_parent=common.pages_in_parent,
                size_bytes=committed.size_bytes,
                stopped_us=stopped_us,
                copy_s=copy_s,
                sync_s=committed.sync_s,
                seconds=time.perf_counter() - began_s,
                restorable=False,
                not_held=of_pre_dump(plans, self._session.refused),
                notes=tuple(notes),
                times=LinkTimes(looking_s - began_s, copying_s - looking_s, gauge.read_s),
            )
        )

    # -- dump

    def dump(
        self, after: After = After.RUN, progress: Progress = unheeded, cancelled: Cancelled = never
    ) -> LinkResult:
        """Stop the tree, save what is pending and all registers, and end the chain.

        Args:
            after: what becomes of the tree. It is stopped or killed only once the link is there.
            progress: told how far it is, from another thread.
            cancelled: asked between pieces of a few MiB.

        Raises:
            As of `pre_dump`, and `FrozenTooLong`; the tree then goes on, whatever `after` says.
        """
        notes = self._take_over()
        with Apart() as apart:
            gauge = CopyProgress(apart.unless_left(progress), lambda: apart.is_left or cancelled())
            # The thread that stops the tree ends with this call: nothing can stay stopped behind it.
            return on_own_thread(lambda: self._dump(after, gauge, notes, apart))

    def _dump(self, after: After, gauge: CopyProgress, notes: list[str], apart: Apart) -> LinkResult:
        began_s = time.perf_counter()
        with (
            self._link(LinkKind.DUMP, apart) as (link, began_us),
            apart.things() as held,
            ExitStack() as standing,
            ExitStack() as while_stopped,
        ):
            smaps = read_flags(self._session)
            buffer = held.enter_context(copy_buffer(self._session))
            # A tick under way is waited for now, and not by a target that is stopped.
            processes = while_stopped.enter_context(self._session.held())
            relatives = held.enter_context(Relatives([p.identity.pid for p in processes]))
            while_stopped.enter_context(urgent())
            pending_bytes = sum(p.pending.size_bytes for p in processes)
            most_s = self._limit_s(pending_bytes, to_disk=after is not After.RUN)
            tree = standing.enter_context(FrozenTree(self._session, most_s))
            look = heeding(tree.freeze.check, gauge.cancelled)
            lead_s = time.perf_counter() - tree.freezing_us / 1e6 - began_s
            plans, memories = collect(self._session, held, relatives, stopped=True)
            plans = {p: plan for p, plan in plans.items() if p.identity in tree.stopped}
            states = {p: gather(tree.stopped[p.identity]) for p in plans}
            copying_s = time.perf_counter()
            common = held.enter_context(CommonLink(link, plans))
            gauge.total_bytes = common.needed_bytes
            fits, stash = grow(buffer, gauge.total_bytes), Stash(buffer)
            covered: dict[TrackedProcess, PageSet] = {}

            def copy() -> None:
                common.copy(lambda found: stash.copy(found, memories[found.source], found.pages, gauge))
                for process, plan in plans.items():
                    needed = plan.needed - common.kept(process)
                    covered[process] = stash.copy(process, memories[process], needed, gauge)

            if fits:
                apart.run(copy, look)
                memdump_us = int((time.perf_counter() - copying_s) * 1e6)
                if after is After.RUN:
                    tree.release()
            else:
                memdump_us = 0
                common.forget()
                tree.freeze.limit_s = self._limit_s(gauge.total_bytes, to_disk=True)
                notes.append(
                    "more was pending than fits beside the target in memory: "
                    "it was stopped until all was written"
                )
            while_stopped.close()

            def write() -> None:
                common.write(lambda found, pages: stash.write(found, pages, gauge))
                for number, (process, plan) in enumerate(plans.items(), start=1):
                    pages, kept = link.open_pages(states[process].inner_pid, number), common.kept(process)
                    if fits:
                        stash.write(process, pages, gauge)
                    else:
                        covered[process] = copy_to_file(memories[process], plan.needed, pages, buffer, gauge)
                    lazy = covered[process] & lazy_pages(plan.maps, states[process])
                    pages.finish(plan.held | kept, lazy)
                    covered[process] |= kept

            apart.run_if(bool(tree.stopped), write, look)
            copy_s = time.perf_counter() - copying_s
            if after is After.RUN:
                tree.release()

            def finish() -> Committed:
                write_images(
                    link,
                    list(states.values()),
                    {process.identity.pid: plan.maps for process, plan in plans.items()},
                    smaps,
                )
                gauge.advance("syncing", 0)
                times = DumpStats(
                    freezing_us=tree.freezing_us,
                    frozen_us=tree.stopped_us,
                    memdump_us=memdump_us,
                    memwrite_us=int(copy_s * 1e6) - memdump_us,
                )
                write_sidecar(link, self._session, self.engine)
                return common.commit(link.counted(times), began_us)

            committed = apart.run_if(bool(tree.stopped), finish, tree.freeze.check)
            self._session.finish_link(self, {p: covered[p] | plan.held for p, plan in plans.items()})
            tree.release(after)
        unreadable = sum((plan.needed - covered[p]).count for p, plan in plans.items())
        self.is_ended = True
        return self._done(
            LinkResult(
                number=self._next_number,
                kind=LinkKind.DUMP,
                path=committed.path,
                engine=self.engine,
                pages_written=common.pages_written,
                pages_in_parent=common.pages_in_parent,
                size_bytes=committed.size_bytes,
                stopped_us=tree.stopped_us,
                copy_s=copy_s,
                sync_s=committed.sync_s,
                seconds=time.perf_counter() - began_s,
                restorable=False,
                not_held=of_dump(plans, list(states.values()), self._session.refused, unreadable),
                notes=tuple(notes),
                times=LinkTimes(lead_s, copying_s - began_s - lead_s, gauge.read_s),
            )
        )

    def close(self) -> None:
        """Make no more links, and let go of the directory. May be called twice."""
        self._place.close()

    def _limit_s(self, size_bytes: int, *, to_disk: bool) -> float:
        return limit_s(self.freeze_timeout_s, self._session.process_count, size_bytes, to_disk=to_disk)

    def _take_over(self) -> list[str]:
        """Make sure that the session's pending pages refer to this chain; what the user should know."""
        if self.is_ended:
            raise has_ended(self.directory)
        notes, self._notes = self._notes, []
        with self._session.held():
            if not self._session.is_armed:
                self._session.require_own_epoch()
                self._session.attach()
            # Who has started another program is armed anew now: nobody can be once the tree is stopped.
            self._session.follow_tree()
            if self._session.image_owner is not self:
                self._session.forget_images(self)
                notes.append("another chain was made of this target meanwhile: this link is a full one")
            if changed := self._place.changed(self._fingerprints):
                self._session.forget_images(self)
                self._fingerprints.clear()
                notes.append(
                    f"{printable(str(changed))} was changed or removed since it was made: "
                    "this link is a full one, without a parent"
                )
            self._foreign_clears = self._session.foreign_clears
        return notes

    @contextmanager
    def _link(self, kind: LinkKind, apart: Apart) -> Iterator[tuple[LinkWriter, int]]:
        """A link under way, and the uptime before its collect; if it fails, pages are pending as before."""
        parent = self._fingerprints[-1][0] if self._fingerprints else None
        # A process that starts after this moment is another one to CRIU: read it before the collect.
        before_us = uptime_us()
        try:
            with apart.things() as things:
                link = LinkWriter(self.next_path, kind, parent, self._place.opened)
                things.callback(link.abort)
                try:
                    yield link, before_us
                finally:
                    if apart.is_left:
                        link.erase()
        except BaseException:
            self._session.abandon_link(self)
            raise

    def _done(self, result: LinkResult) -> LinkResult:
        if self._session.foreign_clears > self._foreign_clears:
            result = replace(result, notes=(*result.notes, _CLEARED_MEANWHILE))
        self.links = (*self.links, result)
        self._next_number = result.number + 1
        self._fingerprints += self._place.fingerprints(result.path)
        if self.is_ended:
            self.close()
        return result
