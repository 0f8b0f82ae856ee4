"""The soft-dirty epoch of a tree while it is CRIU's: lent by the session, watched over, and told of.

It begins before a link is done, and what CRIU finds dirty at its next link is all that it saves then. So from
a chain's first pre-dump to its end nobody else may clear the bits. The session is told so
(`Session.lend_epoch`), and only reads them until it has them back; strangers are noticed by `EpochWatch`.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.checkpoint.claim import Claim
from engine.checkpoint.criu.selection import Choice
from engine.checkpoint.criu.unseen import why_not_left_out
from engine.checkpoint.sidecar import Sidecar
from engine.errors import DirtytopError, TargetGone
from engine.images.link import Link
from engine.kernel.process import Identity
from engine.tracking.canary import Canary
from engine.tracking.epoch_watch import EpochWatch
from engine.tracking.frame_marks import FrameMarks
from engine.tracking.held_processes import HeldProcesses
from engine.tracking.trackers import abilities_of


class LentEpoch:
    """The epoch of the chain that has this claim: lent to it from its first pre-dump to its end."""

    def __init__(self, claim: Claim) -> None:
        """Nothing is lent yet, and nothing watched."""
        self._session = claim.session
        self._borrower = claim.record
        self._watch = EpochWatch()
        self._arms = 0
        self.why_unwatched = ""
        """Why nobody watches over the epoch that CRIU began last, in words; empty if it is watched."""

    @property
    def canaries(self) -> dict[Identity, Canary | None]:
        """What was planted where, to tell of clears."""
        return self._watch.canaries

    @property
    def marks(self) -> dict[Identity, FrameMarks]:
        """What tells where memory was moved."""
        return self._watch.marks

    # -- whose it is

    def lend(self) -> None:
        """From now on the bits are CRIU's."""
        self._arms = self._session.arms
        self._session.lend_epoch(self._borrower)

    def give_back(self) -> None:
        """CRIU needs them no more. May be called twice."""
        self._session.take_back_epoch(self._borrower)

    # -- what has become of it

    def adopt(self, sidecar: Sidecar) -> str:
        """Watch on over an epoch that an earlier program's CRIU began.

        Returns:
            What has disturbed it since, in words; empty if nothing has.
        """
        self._watch.adopt(
            {process.identity: process.canary for process in sidecar.processes},
            {process.identity: process.marks for process in sidecar.processes},
        )
        return self._other_program(sidecar) or self._watch.disturbance()

    def _other_program(self, sidecar: Sidecar) -> str:
        known = {process.identity: process.memory_identity for process in sidecar.processes}
        with self._session.held() as processes:
            for process in processes:
                if known.get(process.identity, process.program) != process.program:
                    return f"process {process.identity.pid} has started another program since the last link"
        return ""

    @property
    def why_armed(self) -> str:
        """That arming has cleared the bits since they were lent or the epoch began; empty if it has not."""
        shares_epochs = abilities_of(self._session.tracker).shares_epochs
        is_armed_since = shares_epochs and self._session.arms > self._arms
        return "the target was armed since the last link" if is_armed_since else ""

    def disturbance(self, choices: Mapping[int, Choice], parent: Link) -> str:
        """Why CRIU must not leave out what it would leave out now, in words; empty if it may.

        Args:
            choices: what CRIU is about to do, by pid.
            parent: the link that it would build on, with which the epoch began.

        Raises:
            BadImage: the parent cannot be read.
        """
        return self._watch.disturbance() or why_not_left_out(choices, parent, self._watch)

    # -- a new one

    def expect(self, processes: HeldProcesses) -> None:
        """CRIU is about to begin an epoch: what is pending after its link is what was written from now on.

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

    def begun(self) -> None:
        """CRIU has begun it, and has just let the tree go on: it is watched from now on."""
        self.why_unwatched = ""
        try:
            with self._session.held() as processes:
                self._watch.begin(process.identity for process in processes)
        except DirtytopError as error:
            self.why_unwatched = f"the soft-dirty bits could not be watched ({error.message})"
        self._tell_session(self._watch.canaries)
        self._arms = self._session.arms

    def ended(self) -> None:
        """CRIU has cleared the bits for the last time, with a dump: there is nothing to watch over."""
        self._tell_session({})

    def _tell_session(self, canaries: Mapping[Identity, Canary | None]) -> None:
        """That the clear which it is about to see was CRIU's, for us."""
        with self._session.held() as processes:
            for process in processes:
                process.follow_epoch(canaries.get(process.identity))
