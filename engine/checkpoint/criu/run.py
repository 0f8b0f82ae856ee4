"""One link being made by CRIU, from the request to its last file.

A target that is to be killed is killed by CRIU, which keeps the other ends of its connections from
noticing, but only once we have made the images durable: CRIU asks before (`post-dump`), with the
tree still frozen. That is also when SIGSTOP is sent to a tree that is to stay stopped, for CRIU before 3.19
cannot leave it so by itself. Until then, giving up lets the target run on; from then on we do so only where
the target stays frozen for longer than it may be (`engine.checkpoint.freeze_limit`).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from engine.checkpoint.apart import Apart, heeding
from engine.checkpoint.criu.client import Charge, NoAnswer, Worker
from engine.checkpoint.criu.counting import count_pages
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.dumped_tree import DumpedTree
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.given_up import given_up
from engine.checkpoint.criu.log import find_cause
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.order import LinkOrder, OurPart
from engine.checkpoint.criu.request import request_of
from engine.checkpoint.freeze_limit import Freeze, FrozenTooLong
from engine.checkpoint.link import After, Cancelled, LinkProgress, Progress
from engine.checkpoint.link_clock import Saved
from engine.errors import BadImage, DirtytopError, LinkFailed, TargetGone
from engine.errors import Cancelled as CancelledError
from engine.images.framing import Magic, pack, read_message
from engine.images.layout import STATS, LinkKind
from engine.images.lengths import fill_old_lengths
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.stats import DumpStats
from engine.kernel.process import read_status
from engine.pageset import PAGE_SIZE
from engine.printable import printable

_POST_DUMP: Final = "post-dump"

_TRY_AGAIN: Final = "its pages are pending as before; `dirtytop doctor PID` tells what may be in the way"


class CriuRun:
    """Has CRIU make one link, and lets our part in it be done when it is time."""

    def __init__(
        self,
        criu: Criu,
        options: CriuOptions,
        order: LinkOrder,
        progress: Progress,
        cancelled: Cancelled,
        apart: Apart,
        part: OurPart,
    ) -> None:
        """Nothing is done yet.

        Args:
            criu: which one; that it can do what is ordered has been made sure of.
            options: what the user chose.
            order: what to make.
            progress: told how far it is, some twenty times a second.
            cancelled: asked as often, until CRIU may do to the target what was ordered.
            apart: where all is done that may have to wait while the tree is frozen.
            part: what is ours of the link.
        """
        self._criu = criu
        self._options = options
        self._order = order
        self._progress = progress
        self._cancelled = cancelled
        self._apart = apart
        self._part = part
        self._is_approved = False
        """Whether CRIU may do to the target what was ordered: from then on nothing is given up."""
        self._is_thawed = False
        """Whether our part was told that the tree goes on."""
        self._tree = DumpedTree(order.root)
        self._freeze = Freeze(order.root.pid, order.most_frozen_s)
        self._heed = heeding(self._freeze.check, cancelled)

    def run(self) -> Saved:
        """Make the link.

        Raises:
            LinkFailed: CRIU could not, or the disk would not take it; `FrozenTooLong`: not in time.
            TargetGone: the root has exited.
            Cancelled: `cancelled` said so.
            In each case there is no link, and the tree runs on, unless the message says otherwise.
        """
        with self._apart.things() as things:
            directory = CriuDirectory(self._order.path, self._order.above)
            things.callback(directory.remove)
            try:
                notes = self._have_it_made(directory)
                return self._finish(directory, notes)
            except DirtytopError as error:
                directory.is_only_copy = directory.is_only_copy and self._tree.is_gone()
                if directory.is_only_copy:
                    error.hint = (
                        f"the target has exited, and {printable(str(directory.partial_path))} is complete"
                    )
                raise
            finally:
                self._freeze.end()
                if self._tree.is_stopped and not directory.is_published:
                    self._tree.wake()
                if self._apart.is_left:
                    directory.erase()

    # -- the conversation

    def _have_it_made(self, directory: CriuDirectory) -> list[str]:
        """Returns what the user should know of how it went."""
        answer, silence = None, ""
        terms = self._part.terms
        # Should we be killed, what CRIU still works in is not taken for left behind.
        inherited = (directory.fileno(), directory.work.fileno(), *terms.inherited)
        request = request_of(self._criu, self._options, self._order, terms, directory)
        worker = Worker(
            self._criu.program,
            directory.work.path,
            inherited=inherited,
            overseer=terms.overseer,
            charge=Charge(self._order.root, self._say_giving_up),
        )
        try:
            with worker:
                self._freeze.expect()
                try:
                    answer = worker.ask(
                        request,
                        notified=lambda notification: self._approve(notification.script, directory),
                        watch=lambda: self._watch(directory),
                    )
                    if answer.success:  # the end of CRIU, which follows, is nothing to the target
                        self._freeze.end()
                        self._tell_thawed()
                except NoAnswer as error:
                    silence = error.message
                stderr = worker.stderr()
        except (FrozenTooLong, CancelledError) as error:
            self._look_at_target()
            raise given_up(error, worker, self._freeze, directory.keep_log) from error
        self._freeze.end()
        if answer is not None and answer.success:
            return []
        if directory.is_only_copy:
            if self._tree.is_ending():
                return [
                    silence or "criu reported a failure after it had ended the target; the link is complete"
                ]
            directory.is_only_copy = False
        said = find_cause(directory.read_log(), stderr, answer.cr_errmsg if answer is not None else "")
        why = said.text if said else silence or "it does not say why"
        if said and silence:
            why = f"{silence}: {why}"
        raise self._failure(why, said.hint if said else "", directory, worker.remains)

    def _watch(self, directory: CriuDirectory) -> None:
        self._look_at_target()
        self._freeze.check()
        done_bytes = directory.page_bytes()
        if done_bytes and self._order.kind is LinkKind.PRE_DUMP:
            # A pre-dump writes its pages when the tree runs again.
            self._tell_thawed()
        self._progress(
            LinkProgress(
                "copying" if done_bytes else "collecting",
                done_bytes,
                max(done_bytes, self._order.expected_bytes),
            )
        )
        if not self._is_approved:
            self._check_wanted()

    def _look_at_target(self) -> None:
        """CRIU stops the tree by tracing it, and lets it go by no longer doing so."""
        try:
            is_traced = read_status(self._order.root.pid).get("TracerPid", "0") != "0"
        except TargetGone:
            is_traced = False
        if is_traced:
            self._freeze.begin()
        elif self._freeze.is_under_way:
            self._freeze.end()

    def _tell_thawed(self) -> None:
        if not self._is_thawed:
            self._part.thawed()
            self._is_thawed = True

    def _check_wanted(self) -> None:
        if self._cancelled():
            raise CancelledError("cancelled: the link was not made, and the target runs on")

    def _approve(self, script: str, directory: CriuDirectory) -> bool:
        """Answer a notification: whether CRIU may go on."""
        self._part.heard(script)
        self._look_at_target()
        if script != _POST_DUMP:
            return True
        self._check_wanted()
        self._part.while_frozen(directory, self._heed)
        if self._order.after is not After.RUN:
            done_bytes = directory.page_bytes()
            self._progress(LinkProgress("syncing", done_bytes, done_bytes))
            fill_old_lengths(directory)
            # Should we be killed now, this tells that what we leave behind is whole.
            complete = partial(directory.complete, pack(Magic.STATS, [self._figures(directory).to_message()]))
            self._apart.run(complete, self._heed, is_urgent=False)
        if self._order.after is After.STOP:
            self._tree.stop()
        self._is_approved = True
        directory.is_only_copy = self._order.after is After.KILL
        return True

    # -- giving up

    def _say_giving_up(self, how: str) -> None:
        self._freeze.still_here()
        self._progress(LinkProgress(f"giving up: {how}", 0, None))

    # -- the end

    def _finish(self, directory: CriuDirectory, notes: list[str]) -> Saved:
        notes += self._part.finish(directory)
        fill_old_lengths(directory)
        size_bytes = directory.page_bytes()
        told = self._told_stats(directory)
        stats = told or self._figures(directory)
        pages_written = stats.pages_written + stats.shpages_written
        if pages_written * PAGE_SIZE != size_bytes:
            why = f"it wrote {size_bytes} bytes of pages and says that they are {pages_written} pages"
            raise self._failure(why, "", directory)
        self._progress(LinkProgress("syncing", size_bytes, size_bytes))
        began_s = time.perf_counter()
        self._part.add(directory)
        directory.complete(pack(Magic.STATS, [stats.to_message()]))
        directory.finish()
        knows_stop = told is not None or self._part.terms.leaves_pages
        return Saved(
            pages_written=pages_written,
            pages_in_parent=stats.pages_skipped_parent + stats.shpages_skipped_parent,
            size_bytes=size_bytes,
            sync_s=time.perf_counter() - began_s,
            stopped_us=stats.frozen_us if knows_stop else None,
            copy_s=(told.memdump_us + told.memwrite_us) / 1e6 if told is not None else None,
            notes=tuple(notes),
        )

    def _told_stats(self, directory: CriuDirectory) -> DumpStats | None:
        """CRIU's figures; None where it died before it told them, or left pages to us."""
        if self._part.terms.leaves_pages:
            return None
        try:
            return DumpStats.from_message(read_message(directory.work.path / STATS, Magic.STATS, StatsEntry))
        except BadImage as error:
            if not directory.is_only_copy:
                raise self._failure(f"it left no figures ({error.message})", "", directory) from error
            return None

    def _figures(self, directory: CriuDirectory) -> DumpStats:
        return self._part.figures(count_pages(directory))

    def _failure(self, why: str, hint: str, directory: CriuDirectory, remains: str = "") -> DirtytopError:
        pid = self._order.root.pid
        log = directory.keep_log()
        see = f"; its log is {printable(str(log))}" if log else ""
        if self._tree.is_gone():
            return TargetGone(f"process {pid} exited while criu worked on it ({why}){see}", pid=pid)
        doing = "pre-dump" if self._order.kind is LinkKind.PRE_DUMP else "dump"
        if remains:
            hint = f"{remains}{'; ' if hint else ''}{hint}"
        text = f"criu could not {doing} process {pid}: {why}{see}"
        return LinkFailed(text, pid=pid, hint=hint or _TRY_AGAIN)
