"""A chain's claim on a session: pages are pending with regard to one chain, the last that has taken it.

A link holds what is pending and leaves the rest to the links before it. So before each link it is made sure
that what the session calls clean is clean with regard to these very links, and that they are still as
they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.chain_record import ChainRecord
from engine.checkpoint.directory import ChainDirectory
from engine.checkpoint.freeze_limit import limit_s
from engine.checkpoint.link import Engine, LinkResult
from engine.checkpoint.resuming import (
    read_earlier_epoch,
    read_open_chain,
    record_of,
    require_chain_of,
    resume_epoch,
)
from engine.pageset import PageSet
from engine.printable import printable
from engine.tracking.session import Session
from engine.tracking.tracked_process import TrackedProcess

CLEARED: Final = "another program cleared the soft-dirty bits"
"""Why the next link is a full one, in few words: the event of it tells more."""
ANOTHER_CHAIN: Final = "another chain of this target was made meanwhile"
_CLEARED_MEANWHILE: Final = (
    "another program, or the process itself, cleared the soft-dirty bits meanwhile: this link is a full one"
)


class Claim:
    """What makes links of one session, in one directory, needs: the session, the directory, the record."""

    def __init__(self, session: Session, place: ChainDirectory, record: ChainRecord) -> None:
        """Nothing of the session's is changed yet: see `take`."""
        self.session = session
        self.place = place
        self.record = record
        self._foreign_clears = 0
        self._looked_clears = self._held_clears = 0
        """How many foreign clears had been seen when a link looked what was written, or the last did."""

    @classmethod
    def begin(cls, engine: Engine, session: Session, directory: Path, *, trusts: bool) -> Self:
        """Of a new chain. Arguments and errors as of `ChainDirectory.begin`."""
        place = ChainDirectory.begin(directory, trusts=trusts)
        claim = cls(session, place, ChainRecord(engine, directory, last_number=place.last_number))
        claim.take()
        return claim

    @classmethod
    def go_on(cls, engine: Engine, session: Session, directory: Path) -> Self:
        """Of a chain of pre-dumps that an earlier dirtytop made itself; see `MemoryChain.go_on`."""
        images = read_open_chain(directory)
        sidecar = require_chain_of(images, session.root, Engine.MEMORY)
        epoch = read_earlier_epoch(session, images, sidecar)
        place = ChainDirectory.go_on(directory, images)
        record = record_of(images, engine, directory, place)
        claim = cls(session, place, record)
        with session.held() as processes:
            session.attach()
            claim.take()
            if epoch.why_full:
                record.break_off(epoch.why_full)
            else:
                record.note(*resume_epoch(session, epoch))
            if not any(process.is_relied_on for process in processes):
                record.do_without_parent()
        return claim

    # -- what is pending

    def take(self) -> None:
        """From now on pages are pending with regard to this chain, whose links hold nothing yet."""
        self.session.forget_images(self.record)
        self._looked_clears = self._held_clears = self.session.foreign_clears

    @property
    def is_lost(self) -> bool:
        """Whether another chain has taken the session since."""
        return self.session.image_owner is not self.record

    @property
    def why_full(self) -> str:
        """Why the next link will be a full one, as far as ticks have seen: it is for that link to look."""
        if self.record.why_full or not self.record.links or self.record.is_ended:
            return self.record.why_full if not self.record.is_ended else ""
        return CLEARED if self.session.foreign_clears > self._held_clears else ""

    def looked(self) -> None:
        """The link under way has looked what was written: clears before that do not matter to the next."""
        self._looked_clears = self.session.foreign_clears

    def why_changed(self) -> str:
        """Which link that the next one relies on is not as it was made, in words; empty if all are."""
        changed = self.place.changed(self.record.parts)
        return f"{printable(str(changed))} was changed or removed since it was made" if changed else ""

    def renew(self) -> None:
        """Make sure, before a link of ours, that clean pages are clean with regard to this chain.

        Raises:
            LinkFailed: the chain has ended.
            EpochLent, and errors as of `Session.arm`: the session cannot be attached.
        """
        self.record.require_open()
        session = self.session
        with session.held():
            if not session.is_armed:
                session.require_own_epoch()
                session.attach()
            # A process that has started another program is armed again now: it cannot be in a stopped tree.
            session.follow_tree()
            if self.is_lost:
                self.take()
                self.record.break_off(ANOTHER_CHAIN, keeps_parent=True)
            if why := self.why_changed():
                self.take()
                self.record.break_off(why)
            self._foreign_clears = session.foreign_clears

    # -- one link

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a link is being made: if that fails, for whatever reason, its pages are pending as before."""
        try:
            yield
        except BaseException:
            self.session.abandon_link(self.record)
            raise

    def settle(self, covered: Mapping[TrackedProcess, PageSet]) -> None:
        """A link is there, and holds these pages: they are no longer pending, unless written since."""
        self.session.finish_link(self.record, covered)
        self._held_clears = self._looked_clears

    @property
    def clear_notes(self) -> tuple[str, ...]:
        """What the link that `renew` was called for is to say of clears by others since."""
        return (_CLEARED_MEANWHILE,) if self.session.foreign_clears > self._foreign_clears else ()

    def finish(self, result: LinkResult) -> LinkResult:
        """Put a link that is there on record; after a dump the directory is let go of. Returns the link."""
        self.record.finish(result, self.place.fingerprints(result.path))
        if self.record.is_ended:
            self.place.close()
        return result

    def limit_s(self, beyond_s: float, size_bytes: int, *, to_disk: bool) -> float:
        """How long a link of ours may keep the tree stopped; see `freeze_limit.limit_s`."""
        return limit_s(beyond_s, self.session.process_count, size_bytes, to_disk=to_disk)
