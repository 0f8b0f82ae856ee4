"""A dump of ours: the tree is stopped, what is pending copied to memory, registers read; then it goes on.

Only then is anything written to disk, unless the tree is not to go on, or more is pending than fits into
memory: then it stays stopped until the link is there.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from engine.checkpoint.apart import Apart, heeding
from engine.checkpoint.claim import Claim
from engine.checkpoint.collecting import collect
from engine.checkpoint.common_link import CommonLink
from engine.checkpoint.copy_buffer import copy_buffer, grow
from engine.checkpoint.copying import CopyProgress, Stash, copy_to_file
from engine.checkpoint.frozen_tree import FrozenTree, read_flags
from engine.checkpoint.link import After, Engine, LinkResult
from engine.checkpoint.link_clock import LinkClock, Step
from engine.checkpoint.omissions import of_dump
from engine.checkpoint.own_link import own_link, saved_of
from engine.checkpoint.rules import lazy_pages
from engine.checkpoint.sidecar import write_sidecar
from engine.checkpoint.tasks import TaskState, gather, write_images
from engine.images.layout import LinkKind
from engine.images.stats import DumpStats, microseconds
from engine.images.writer import Committed, LinkWriter
from engine.kernel.memory import TargetMemory
from engine.kernel.relatives import Relatives
from engine.kernel.smaps import SmapsEntry
from engine.kernel.urgency import urgent
from engine.pageset import PageSet
from engine.tracking.tracked_process import LinkPlan, TrackedProcess

_TOO_MUCH: Final = (
    "more was pending than fits into memory beside the target: the target was stopped until all was written"
)


class OwnDump:
    """Makes the last link of a chain of ours, once."""

    def __init__(
        self, claim: Claim, after: After, freeze_timeout_s: float, gauge: CopyProgress, apart: Apart
    ) -> None:
        """Nothing is done yet. The claim was renewed.

        Args:
            claim: the chain's.
            after: what becomes of the tree. It is stopped or killed only once the link is there.
            freeze_timeout_s: as of `freeze_limit.limit_s`.
            gauge: told how far it is.
            apart: where all is done that may have to wait while the tree is stopped.
        """
        self._claim = claim
        self._session = claim.session
        self._after = after
        self._freeze_timeout_s = freeze_timeout_s
        self._gauge = gauge
        self._apart = apart
        self._clock = LinkClock()
        self._link = claim.record.next_link(LinkKind.DUMP)
        self._notes = list(self._link.notes)

    def make(self) -> LinkResult:
        """Make it. To be called on a thread that ends with it: nothing can stay stopped behind that.

        Raises:
            LinkFailed: it could not be written; `FrozenTooLong`. TargetGone: the root has exited.
            Cancelled: the gauge's `cancelled` said so.
            In each case there is no link, all its pages are pending as before, and the tree goes on.
        """
        session, clock, gauge = self._session, self._clock, self._gauge
        with (
            own_link(self._claim, self._link, self._apart) as (writer, before_us),
            self._apart.things() as held,
            ExitStack() as standing,
            ExitStack() as while_stopped,
        ):
            smaps = read_flags(session)
            buffer = held.enter_context(copy_buffer(session))
            # A tick under way is waited for now, and not by a target that is stopped.
            processes = while_stopped.enter_context(session.held())
            relatives = held.enter_context(Relatives([p.identity.pid for p in processes]))
            while_stopped.enter_context(urgent())
            pending_bytes = sum(process.pending.size_bytes for process in processes)
            most_s = self._limit_s(pending_bytes, to_disk=self._after is not After.RUN)
            clock.note(Step.LOOKED)
            tree = standing.enter_context(FrozenTree(session, most_s))
            clock.note(Step.FROZEN)
            look = heeding(tree.freeze.check, gauge.cancelled)
            plans, memories = collect(session, held, relatives, stopped=True)
            plans = {p: plan for p, plan in plans.items() if p.identity in tree.stopped}
            states = {p: gather(tree.stopped[p.identity]) for p in plans}
            clock.note(Step.COPYING)
            common = held.enter_context(CommonLink(writer, plans))
            saving = _Saving(plans, states, memories, smaps, common, Stash(buffer), gauge)
            needed_bytes = gauge.total_bytes = common.needed_bytes
            is_copied = grow(buffer, needed_bytes)
            if is_copied:
                self._apart.run(saving.copy, look)
                memdump_us = microseconds(clock.copy_s)
                if self._after is After.RUN:
                    self._release(tree)
            else:
                memdump_us = 0
                common.forget()
                tree.freeze.limit_s = self._limit_s(needed_bytes, to_disk=True)
                self._notes.append(_TOO_MUCH)
            while_stopped.close()
            self._apart.run_if(bool(tree.stopped), partial(saving.write, writer, is_copied=is_copied), look)
            clock.note(Step.COPIED)
            if self._after is After.RUN:
                self._release(tree)
            commit = partial(self._commit, writer, saving, tree, memdump_us, before_us)
            committed = self._apart.run_if(bool(tree.stopped), commit, tree.freeze.check)
            self._claim.settle({p: saving.covered[p] | plan.held for p, plan in plans.items()})
            self._release(tree, self._after)
        return self._finish(committed, saving, tree)

    def _limit_s(self, size_bytes: int, *, to_disk: bool) -> float:
        return self._claim.limit_s(self._freeze_timeout_s, size_bytes, to_disk=to_disk)

    def _release(self, tree: FrozenTree, after: After = After.RUN) -> None:
        tree.release(after)
        if not self._clock.has(Step.THAWED):
            self._clock.note(Step.THAWED)

    def _commit(
        self, writer: LinkWriter, saving: _Saving, tree: FrozenTree, memdump_us: int, before_us: int
    ) -> Committed:
        """Write all that is not pages, and give the link its name."""
        saving.write_images(writer)
        self._gauge.advance("syncing", 0)
        times = DumpStats(
            freezing_us=tree.freezing_us,
            frozen_us=tree.stopped_us,
            memdump_us=memdump_us,
            memwrite_us=microseconds(self._clock.copy_s) - memdump_us,
        )
        write_sidecar(writer, self._session, Engine.MEMORY)
        return saving.common.commit(writer.counted(times), before_us)

    def _finish(self, committed: Committed, saving: _Saving, tree: FrozenTree) -> LinkResult:
        result = self._clock.done(
            self._link,
            saved_of(committed, saving.common, tree.stopped_us),
            restorable=False,
            read_s=self._gauge.read_s,
            not_held=of_dump(saving.plans, self._session.refused, saving.unreadable_pages),
            notes=(*self._notes, *self._claim.clear_notes),
        )
        return self._claim.finish(result)


@dataclass(slots=True)
class _Saving:
    """What is to be saved of a stopped tree."""

    plans: dict[TrackedProcess, LinkPlan]
    states: dict[TrackedProcess, TaskState]
    memories: dict[TrackedProcess, TargetMemory]
    smaps: dict[int, list[SmapsEntry]]
    common: CommonLink
    stash: Stash
    gauge: CopyProgress
    covered: dict[TrackedProcess, PageSet] = field(default_factory=dict)
    """What of each process the link holds itself, once it is known."""

    def copy(self) -> None:
        """Copy all pages to memory."""
        self.common.copy(
            lambda found: self.stash.copy(found, self.memories[found.source], found.pages, self.gauge)
        )
        for process, plan in self.plans.items():
            needed = plan.needed - self.common.kept(process)
            self.covered[process] = self.stash.copy(process, self.memories[process], needed, self.gauge)

    def write(self, writer: LinkWriter, *, is_copied: bool) -> None:
        """Write all pages and pagemaps: what was copied, or straight from the processes, still stopped."""
        stash, gauge = self.stash, self.gauge
        self.common.write(lambda found, pages: stash.write(found, pages, gauge))
        for number, (process, plan) in enumerate(self.plans.items(), start=1):
            state, kept = self.states[process], self.common.kept(process)
            pages = writer.open_pages(state.inner_pid, number)
            if is_copied:
                stash.write(process, pages, gauge)
            else:
                memory = self.memories[process]
                self.covered[process] = copy_to_file(memory, plan.needed, pages, stash.buffer, gauge)
            pages.finish(plan.held | kept, self.covered[process] & lazy_pages(plan.maps, state))
            self.covered[process] |= kept

    def write_images(self, writer: LinkWriter) -> None:
        """Write what tells of the processes and their mappings."""
        maps = {process.identity.pid: plan.maps for process, plan in self.plans.items()}
        write_images(writer, list(self.states.values()), maps, self.smaps)

    @property
    def unreadable_pages(self) -> int:
        """How many pages were needed and could not be read."""
        return sum((plan.needed - self.covered[p]).count for p, plan in self.plans.items())
