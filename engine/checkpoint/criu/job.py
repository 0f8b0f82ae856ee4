"""One link being made by CRIU, from the request to its last file.

A target that is to be killed is killed by CRIU, which keeps the other ends of its connections from
noticing, but only once we have made the images durable: CRIU asks before (`post-dump`), with the
tree still frozen. That is also when SIGSTOP is sent to a tree that is to stay stopped, for CRIU before 3.19
cannot leave it so by itself. Until then, giving up lets the target run on; from then on we do so only where
the target stays frozen for longer than it may be (`engine.checkpoint.freeze_limit`).
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from engine.checkpoint.apart import Apart, heeding
from engine.checkpoint.criu.client import Charge, NoAnswer, Worker
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import LOG, CriuDirectory
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.given_up import given_up
from engine.checkpoint.criu.log import find_cause
from engine.checkpoint.criu.obeyed import write_config
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.questions import Overseer
from engine.checkpoint.freeze_limit import Freeze, FrozenTooLong
from engine.checkpoint.link import After, Cancelled, LinkProgress, Progress
from engine.errors import BadImage, DirtytopError, LinkFailed, TargetGone
from engine.errors import Cancelled as CancelledError
from engine.images.framing import Magic, pack, read_message
from engine.images.layout import STATS, LinkKind, is_pagemap, pagemap_pid
from engine.images.lengths import fill_old_lengths
from engine.images.pagemap import read_pagemap
from engine.images.proto.rpc_pb2 import DUMP, PRE_DUMP, SINGLE_PRE_DUMP, CriuReq
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.stats import DumpStats
from engine.kernel.process import Identity, child_processes, read_status, require_same
from engine.pageset import PAGE_SIZE
from engine.printable import printable
from engine.trust.directory import OpenDirectory

_ENDING_S: Final = 2.0
_POST_DUMP: Final = "post-dump"

_TRY_AGAIN: Final = "its pages are pending as before; `dirtytop doctor PID` tells what may be in the way"


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """What is to be made."""

    kind: LinkKind
    root: Identity
    path: Path
    above: OpenDirectory
    """The directory that it is made in."""
    parent: Path | None
    """The link to build on, beside it."""
    after: After
    expected_bytes: int
    """An estimate of how much page data it will be."""
    most_frozen_s: float
    """How long the tree may be stopped."""


@dataclass(frozen=True, slots=True)
class CriuMade:
    """What came of it."""

    stats: DumpStats
    size_bytes: int
    sync_s: float
    notes: tuple[str, ...]


def _nothing_more(directory: CriuDirectory) -> None:
    """CRIU's files are the link."""


class CriuRun:
    """Has CRIU make one link."""

    _use = Use.LINK

    def __init__(
        self,
        criu: Criu,
        options: CriuOptions,
        order: LinkOrder,
        progress: Progress,
        cancelled: Cancelled,
        apart: Apart,
        thawed: Callable[[], None],
        added: Callable[[CriuDirectory], None] = _nothing_more,
    ) -> None:
        """Nothing is done yet.

        Args:
            criu: which one; that it can do what is ordered has been made sure of.
            options: what the user chose.
            order: what to make.
            progress: told how far it is, some twenty times a second.
            cancelled: asked as often.
            apart: where all is done that may have to wait while the tree is frozen.
            thawed: called once a pre-dump has let the target go on.
            added: called when CRIU is done, to write what belongs into the link besides.
        """
        self._criu = criu
        self._options = options
        self._order = order
        self._progress = progress
        self._cancelled = cancelled
        self._apart = apart
        self._thawed: Callable[[], None] | None = thawed if order.kind is LinkKind.PRE_DUMP else None
        self._added = added
        self._is_approved = False
        """Whether CRIU may do to the target what was ordered: from then on nothing is given up."""
        self._stopped: list[Identity] = []
        self._inherited: tuple[int, ...] = ()
        """Descriptors that CRIU gets besides that of the link's directory."""
        self._overseer: Overseer | None = None
        """Whom CRIU has to ask."""
        self._freeze = Freeze(order.root.pid, order.most_frozen_s)
        self._heed = heeding(self._freeze.check, cancelled)

    def run(self) -> CriuMade:
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
                directory.is_only_copy = directory.is_only_copy and self._is_gone()
                if directory.is_only_copy:
                    error.hint = f"the target is gone, and {printable(str(directory.partial_path))} is whole"
                raise
            finally:
                self._freeze.end()
                if self._stopped and not directory.is_published:
                    self._wake()
                if self._apart.is_left:
                    directory.erase()

    # -- the conversation

    def _have_it_made(self, directory: CriuDirectory) -> list[str]:
        """Returns what the user should know of how it went."""
        answer, silence = None, ""
        # Should we be killed, what CRIU still works in is not taken for left behind.
        inherited = (directory.fileno(), directory.work.fileno(), *self._inherited)
        request = self._request(directory)
        worker = Worker(
            self._criu.program,
            directory.work.path,
            inherited=inherited,
            overseer=self._overseer,
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
            if self._is_ending():
                return [silence or "criu reported a failure after it had ended the target; the link is whole"]
            directory.is_only_copy = False
        said = find_cause(directory.read_log(), stderr, answer.cr_errmsg if answer is not None else "")
        why = said.text if said else silence or "it does not say why"
        if said and silence:
            why = f"{silence}: {why}"
        raise self._failure(why, said.hint if said else "", directory, worker.remains)

    def _request(self, directory: CriuDirectory) -> CriuReq:
        order = self._order
        options = self._options.to_message(self._criu)
        options.images_dir_fd = directory.fileno()
        options.work_dir_fd = directory.work.fileno()
        options.log_file = LOG
        options.pid = order.root.pid
        options.timeout = math.ceil(order.most_frozen_s)
        # What no request of ours sets another file may have set.
        options.lazy_pages = options.auto_dedup = False
        config = write_config(
            directory.work,
            self._use,
            self._options.config_file,
            ours=self._config_lines(),
            ends_target=order.kind is LinkKind.DUMP and order.after is After.KILL,
        )
        if config is not None:
            options.config_file = config
        if order.parent is not None:
            options.parent_img = os.path.join(os.pardir, order.parent.name)
        if order.kind is LinkKind.PRE_DUMP:
            # Always said: where tracking is absent CRIU then refuses, instead of aborting in the target.
            options.track_mem = True
            options.leave_running = True
            single = self._criu.has_single_pre_dump
            return CriuReq(type=SINGLE_PRE_DUMP if single else PRE_DUMP, opts=options)
        # A dump without a parent saves everything, and has no reason to clear anybody's bits.
        options.track_mem = order.parent is not None
        options.leave_running = order.after is not After.KILL
        options.notify_scripts = True
        return CriuReq(type=DUMP, opts=options)

    def _config_lines(self) -> tuple[str, ...]:
        """Options that can only be said in a file."""
        return ()

    def _watch(self, directory: CriuDirectory) -> None:
        self._look_at_target()
        self._freeze.check()
        done_bytes = directory.page_bytes()
        if done_bytes:
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
        if self._thawed is not None:
            self._thawed()
            self._thawed = None

    def _check_wanted(self) -> None:
        if self._cancelled():
            raise CancelledError("cancelled: the link was not made, and the target runs on")

    def _approve(self, script: str, directory: CriuDirectory) -> bool:
        """Answer a notification: whether CRIU may go on."""
        self._look_at_target()
        if script != _POST_DUMP:
            return True
        self._check_wanted()
        self._while_frozen(directory)
        if self._order.after is not After.RUN:
            done_bytes = directory.page_bytes()
            self._progress(LinkProgress("syncing", done_bytes, done_bytes))
            fill_old_lengths(directory)
            # Should we be killed now, this tells that what we leave behind is whole.
            complete = partial(directory.complete, pack(Magic.STATS, [self._count(directory).to_message()]))
            self._apart.run(complete, self._heed, is_urgent=False)
        if self._order.after is After.STOP:
            self._stop_tree()
        self._is_approved = True
        directory.is_only_copy = self._order.after is After.KILL
        return True

    def _while_frozen(self, directory: CriuDirectory) -> None:
        """All of CRIU's images are written, and the tree has not gone on yet."""

    # -- giving up

    def _say_giving_up(self, how: str) -> None:
        self._freeze.still_here()
        self._progress(LinkProgress(f"giving up: {how}", 0, 0))

    # -- the target

    def _stop_tree(self) -> None:
        """Have the tree stop when CRIU lets go of it."""
        root = self._order.root
        for identity in (root, *(stat.identity for stat in child_processes({root.pid}))):
            os.kill(identity.pid, signal.SIGSTOP)
            self._stopped.append(identity)

    def _wake(self) -> None:
        for identity in self._stopped:
            try:
                require_same(identity)
                os.kill(identity.pid, signal.SIGCONT)
            except (TargetGone, ProcessLookupError):
                continue
        self._stopped.clear()

    def _is_gone(self) -> bool:
        try:
            require_same(self._order.root)
        except TargetGone:
            return True
        return False

    def _is_ending(self) -> bool:
        """Whether CRIU has killed the target before it failed: that takes effect within moments."""
        deadline_s = time.monotonic() + _ENDING_S
        while not self._is_gone():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)
        return True

    # -- the end

    def _finish(self, directory: CriuDirectory, notes: list[str]) -> CriuMade:
        fill_old_lengths(directory)
        size_bytes = directory.page_bytes()
        stats = self._stats(directory)
        if (stats.pages_written + stats.shpages_written) * PAGE_SIZE != size_bytes:
            raise self._failure(
                f"it wrote {size_bytes} bytes of pages and says that they are "
                f"{stats.pages_written + stats.shpages_written} pages",
                "",
                directory,
            )
        self._progress(LinkProgress("syncing", size_bytes, size_bytes))
        began_s = time.perf_counter()
        self._added(directory)
        directory.complete(pack(Magic.STATS, [stats.to_message()]))
        directory.finish()
        return CriuMade(stats, size_bytes, time.perf_counter() - began_s, tuple(notes))

    def _stats(self, directory: CriuDirectory) -> DumpStats:
        """CRIU's figures; where it died before it told them, what can be counted."""
        try:
            stats = DumpStats.from_message(read_message(directory.work.path / STATS, Magic.STATS, StatsEntry))
        except BadImage as error:
            if not directory.is_only_copy:
                raise self._failure(f"it left no figures ({error.message})", "", directory) from error
            stats = None
        return stats or self._count(directory)

    def _count(self, directory: CriuDirectory) -> DumpStats:
        """What the pagemaps list; times they do not tell."""
        written = {True: 0, False: 0}
        in_parent = {True: 0, False: 0}
        for name in filter(is_pagemap, os.listdir(directory.fileno())):
            with directory.reading() as place:
                pagemap = read_pagemap(place / name)
            of_process = pagemap_pid(name) is not None
            written[of_process] += pagemap.present.count
            in_parent[of_process] += pagemap.in_parent.count
        return DumpStats(
            pages_written=written[True],
            pages_skipped_parent=in_parent[True],
            shpages_written=written[False],
            shpages_skipped_parent=in_parent[False],
        )

    def _failure(self, why: str, hint: str, directory: CriuDirectory, remains: str = "") -> DirtytopError:
        pid = self._order.root.pid
        log = directory.keep_log()
        see = f"; its log is {printable(str(log))}" if log else ""
        if self._is_gone():
            return TargetGone(f"process {pid} exited while criu worked on it ({why}){see}", pid=pid)
        doing = "pre-dump" if self._order.kind is LinkKind.PRE_DUMP else "dump"
        if remains:
            hint = f"{remains}{'; ' if hint else ''}{hint}"
        text = f"criu could not {doing} process {pid}: {why}{see}"
        return LinkFailed(text, pid=pid, hint=hint or _TRY_AGAIN)
