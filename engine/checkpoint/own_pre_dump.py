"""A pre-dump of ours: what is pending, copied while the target runs, and written as it is copied.

By write-protection the target is never stopped: collect and protect again, then copy; whatever it writes
meanwhile is pending again, so the next link has it. By soft-dirty it is stopped for the collect.
"""

from __future__ import annotations

from contextlib import ExitStack

from engine.checkpoint.apart import Apart
from engine.checkpoint.claim import Claim
from engine.checkpoint.collecting import collect
from engine.checkpoint.common_link import CommonLink
from engine.checkpoint.copy_buffer import kept_buffer
from engine.checkpoint.copying import CopyProgress, copy_to_file
from engine.checkpoint.link import Cancelled, Engine, LinkResult, Progress
from engine.checkpoint.link_clock import LinkClock, Step
from engine.checkpoint.omissions import of_pre_dump
from engine.checkpoint.own_link import own_link, saved_of
from engine.checkpoint.rules import lazy_pages
from engine.checkpoint.sidecar import write_sidecar
from engine.errors import TargetGone
from engine.images.layout import LinkKind
from engine.images.stats import DumpStats, microseconds
from engine.images.writer import LinkWriter, PagesWriter
from engine.kernel.memory import PageBuffer, TargetMemory
from engine.kernel.process import Identity
from engine.kernel.relatives import Relatives
from engine.kernel.urgency import urgent
from engine.pageset import EMPTY, PageSet
from engine.tracking.tracked_process import LinkPlan, TrackedProcess


def make_pre_dump(claim: Claim, progress: Progress, cancelled: Cancelled) -> LinkResult:
    """Add a pre-dump to a chain of ours.

    Args:
        claim: the chain's.
        progress: told how far it is, from this thread.
        cancelled: asked between pieces of a few MiB.

    Raises:
        LinkFailed: it could not be written, or the chain has ended. TargetGone: the root has exited.
        Cancelled: `cancelled` said so.
        In each case there is no link, and all its pages are pending as before.
    """
    clock, gauge, session = LinkClock(), CopyProgress(progress, cancelled), claim.session
    claim.renew()
    link = claim.record.next_link(LinkKind.PRE_DUMP)
    with own_link(claim, link, Apart()) as (writer, before_us), ExitStack() as held:
        buffer = held.enter_context(kept_buffer(session))
        relatives = held.enter_context(Relatives())
        clock.note(Step.LOOKED)
        with urgent():
            plans, memories = collect(session, held, relatives, stopped=False)
        claim.looked()
        common = held.enter_context(CommonLink(writer, plans))
        gauge.total_bytes = common.needed_bytes
        with session.held():
            stopped_us = sum(process.take_stopped_us() for process in plans)
        clock.note(Step.COPYING)
        copier = _Copier(session.root, memories, buffer, gauge)
        covered = copier.write(writer, common, plans)
        clock.note(Step.COPIED)
        gauge.advance("syncing", 0)
        stats = writer.counted(DumpStats(frozen_us=stopped_us, memwrite_us=microseconds(clock.copy_s)))
        write_sidecar(writer, session, Engine.MEMORY)
        committed = common.commit(stats, before_us)
        claim.settle(covered)
    return claim.finish(
        clock.done(
            link,
            saved_of(committed, common, stopped_us),
            restorable=False,
            read_s=gauge.read_s,
            not_held=of_pre_dump(plans, session.refused),
            notes=(*link.notes, *copier.notes, *claim.clear_notes),
        )
    )


class _Copier:
    """Copies pages of running processes straight into a link; one that exits meanwhile is left out."""

    def __init__(
        self,
        root: Identity,
        memories: dict[TrackedProcess, TargetMemory],
        buffer: PageBuffer,
        gauge: CopyProgress,
    ) -> None:
        self._root = root
        self._memories = memories
        self._buffer = buffer
        self._gauge = gauge
        self.notes: list[str] = []

    def write(
        self, writer: LinkWriter, common: CommonLink, plans: dict[TrackedProcess, LinkPlan]
    ) -> dict[TrackedProcess, PageSet]:
        """Write all pages and pagemaps; what the link then holds of each process, with what it leaves."""
        covered = {}
        common.write(lambda found, pages: self._copy(found.source, found.pages, pages))
        for number, (process, plan) in enumerate(plans.items(), start=1):
            pages, kept = writer.open_pages(process.inner_pid, number), common.kept(process)
            copied = self._copy(process, plan.needed - kept, pages)
            pages.finish(plan.held | kept, copied & lazy_pages(plan.maps))
            covered[process] = copied | plan.held | kept
        return covered

    def _copy(self, process: TrackedProcess, needed: PageSet, pages: PagesWriter) -> PageSet:
        try:
            return copy_to_file(self._memories[process], needed, pages, self._buffer, self._gauge)
        except TargetGone:
            if process.identity == self._root:
                raise
            self.notes.append(f"process {process.identity.pid} ({process.command}) exited meanwhile")
            return EMPTY
