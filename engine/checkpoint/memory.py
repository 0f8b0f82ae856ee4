"""The engine of our own: pre-dumps and dumps of memory and registers, in CRIU's format.

No page is lost: `engine.tracking.clean_pages` says what the last link holds as it is. That grows only once
a link is committed, and only by pages that nothing happened to since that link's collect; a link that
fails, for whatever reason, changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from engine.checkpoint.apart import Apart
from engine.checkpoint.claim import Claim
from engine.checkpoint.copying import CopyProgress
from engine.checkpoint.freeze_limit import BEYOND_S
from engine.checkpoint.link import After, Cancelled, Engine, LinkResult, Progress, never, unheeded
from engine.checkpoint.own_dump import OwnDump
from engine.checkpoint.own_pre_dump import make_pre_dump
from engine.kernel.stopping import on_own_thread
from engine.tracking.session import Session


class MemoryChain:
    """A chain of links 1, 2, … in one directory, made of a session's pending pages."""

    engine = Engine.MEMORY

    def __init__(
        self, session: Session, directory: Path, *, trusts_directory: bool = False, goes_on: bool = False
    ) -> None:
        """Begin a chain, whose first link will be a full one; or see `go_on`.

        Args:
            session: the target; it is armed by the first link if it is not yet.
            directory: made if it is missing, private to us; must hold no images.
            trusts_directory: whether others may be able to exchange it.
            goes_on: whether it is as of `go_on`.

        Raises:
            LinkFailed: the directory cannot be made or holds images already.
            NotTrusted: others can exchange it, and are not trusted.
        """
        self.freeze_timeout_s = BEYOND_S
        self._claim = (
            Claim.go_on(self.engine, session, directory)
            if goes_on
            else Claim.begin(self.engine, session, directory, trusts=trusts_directory)
        )
        self._record = self._claim.record

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
        return cls(session, directory, goes_on=True)

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
        """Stop the tree, save what is pending and all registers, and end the chain.

        Args:
            after: what becomes of the tree. It is stopped or killed only once the link is there.
            progress: told how far it is, from another thread.
            cancelled: asked between pieces of a few MiB.

        Raises:
            As of `pre_dump`, and `FrozenTooLong`; the tree then goes on, whatever `after` says.
        """
        self._claim.renew()
        with Apart() as apart:
            gauge = CopyProgress(apart.unless_left(progress), lambda: apart.is_left or cancelled())
            # The thread that stops the tree ends with this call: nothing can stay stopped behind it.
            return on_own_thread(
                lambda: OwnDump(self._claim, after, self.freeze_timeout_s, gauge, apart).make()
            )

    def close(self) -> None:
        """Make no more links, and let go of the directory. May be called twice."""
        self._claim.place.close()
