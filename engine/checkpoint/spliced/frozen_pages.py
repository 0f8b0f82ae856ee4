"""The pages that CRIU leaves to us: found and copied while it holds the tree frozen, written afterwards.

CRIU has listed, process by process, which pages the dump needs and does not hold (`PE_LAZY`), but for
large mappings that it was told nothing of (`WithheldMemory`): those we look through. Of all these pages
one is left to the parent only if our tracker says that it is clean, the parent really lists it, and
the process is the very one that was tracked. Every other page is copied now.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from engine.checkpoint.copy_buffer import grow
from engine.checkpoint.copying import CHUNK_BYTES, CopyProgress, Stash
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.directory import Listing
from engine.checkpoint.link_clock import LinkClock, Step
from engine.checkpoint.spliced.withheld import WithheldMemory
from engine.errors import LinkFailed, TargetGone
from engine.images.files import write_fully
from engine.images.layout import PARENT, pagemap_name, pagemap_pid
from engine.images.never_lazy import never_lazy_pages
from engine.images.pagemap import read_pagemap
from engine.images.partial import PartialDirectory
from engine.images.splicing import splice
from engine.kernel.maps import read_maps
from engine.kernel.memory import MOST_RANGES, PageBuffer, TargetMemory
from engine.kernel.process import Identity, child_processes, innermost_pid, require_same
from engine.kernel.relatives import Relatives
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet
from engine.tracking.residency import PageReader
from engine.tracking.session import Session
from engine.tracking.tracked_process import LinkPlan, TrackedProcess


@dataclass(slots=True)
class _Share:
    """What is ours to save of one process."""

    inner_pid: int
    """As the process knows itself."""
    memory: TargetMemory
    needed: PageSet
    holes: PageSet
    withheld: PageSet
    """What of these CRIU has not listed, for it was not told."""
    offset: int = 0
    """Where its pages begin in the stash."""

    @property
    def name(self) -> str:
        """Of its pagemap."""
        return pagemap_name(self.inner_pid)


class FrozenPages:
    """What CRIU leaves to us of one dump, from `with` to the end of it."""

    def __init__(
        self,
        session: Session,
        criu: Criu,
        parent: Listing | None,
        buffer: PageBuffer,
        gauge: CopyProgress,
        clock: LinkClock,
    ) -> None:
        """Nothing is read yet.

        Args:
            session: the target, which the caller holds for as long as the tree is frozen.
            criu: which makes the rest of the dump.
            parent: the link that clean pages are left to.
            buffer: room for what is pending, and a little more.
            gauge: told how far it is.
            clock: told when pages are copied.
        """
        self._session = session
        self._parent = parent
        self._listed = parent.pages if parent else {}
        self.withheld = WithheldMemory(criu)
        """Mappings whose pages we have to find, for CRIU was told nothing of them."""
        self._stash = Stash(buffer)
        self._gauge = gauge
        self._clock = clock
        with session.held() as processes:
            self._relatives = Relatives([process.identity.pid for process in processes])
        self._shares: list[_Share] = []
        self._plans: dict[TrackedProcess, LinkPlan] = {}
        self.is_copied = False
        """Whether all of it is in our memory: then the tree may go on."""
        self.covered: dict[TrackedProcess, PageSet] = {}
        """What the link holds of each tracked process, once it is spliced."""
        self.notes: list[str] = []
        self.collect_s = 0.0
        """Time to find out what is to be copied."""

    @property
    def pending_pages(self) -> int:
        """How many were pending when the tree was frozen, of all processes that were tracked."""
        return sum(plan.needed.count for plan in self._plans.values())

    # -- while the tree is frozen

    def plan(self) -> None:
        """Collect from every process that still is what was tracked.

        Raises:
            TargetGone: the root was killed in its sleep.
        """
        began_s = time.perf_counter()
        with self._session.held() as processes:
            for process in processes:
                try:
                    if require_same(process.identity).program == process.program:
                        self._plans[process] = process.plan_last_link()
                except TargetGone:
                    if process.identity == self._session.root:
                        raise
        self.collect_s = time.perf_counter() - began_s

    def save(self, images: PartialDirectory) -> None:
        """Find out what else is needed, and copy it, unless it is too much for memory.

        It may be called from another thread than `plan`: it may have to wait for the memory of the target,
        and touches nothing but what belongs to this object.

        Args:
            images: where CRIU has written its part.

        Raises:
            TargetGone: a process was killed in its sleep.
            LinkFailed: a page cannot be read, or a pagemap is of no process of the tree.
            BadImage: a pagemap is damaged. Cancelled: see `CopyProgress`.
        """
        began_s = time.perf_counter()
        self._divide(images)
        needed_bytes = sum(share.needed.size_bytes for share in self._shares)
        self._gauge.total_bytes = needed_bytes
        self._clock.note(Step.COPYING)
        self.collect_s += time.perf_counter() - began_s
        self._gauge.advance("copying", 0)
        if not grow(self._stash.buffer, needed_bytes):
            self.notes.append(
                "more was pending than fits into memory beside the target: the target was stopped until "
                "all was written"
            )
            return
        for share in self._shares:
            share.offset = self._stash.used_bytes
            copied = self._stash.copy(share.memory.pid, share.memory, share.needed, self._gauge)
            self._require(share, share.needed - copied)
        self.is_copied = True
        self._clock.note(Step.COPIED)

    def _divide(self, images: PartialDirectory) -> None:
        """Divide what CRIU has listed, and what was withheld from it, between the parent and us."""
        plans = {process.inner_pid: plan for process, plan in self._plans.items()}
        identities = self._identities()
        looked_through: set[int] = set()
        for name in sorted(os.listdir(images.fileno())):
            inner_pid = pagemap_pid(name)
            if inner_pid is None:
                continue
            with images.reading() as place:
                listed = read_pagemap(place / name)
            if inner_pid not in identities:
                raise LinkFailed(f"criu has dumped a process {inner_pid} that cannot be found")
            pid, plan = identities[inner_pid].pid, plans.get(inner_pid)
            withheld = self._find_withheld(pid, plan) - listed.covered
            looked_through.add(pid)
            promised = listed.promised | withheld
            held = plan.held if plan else EMPTY
            holes = promised & held & self._listed.get(inner_pid, EMPTY)
            memory = TargetMemory(pid, self._relatives, is_stopped=True)
            self._shares.append(_Share(inner_pid, memory, promised - holes, holes, withheld))
        if missing := self.withheld.pids - looked_through:
            raise LinkFailed(f"criu has written no pagemap of process {min(missing)}", pid=min(missing))

    def _find_withheld(self, pid: int, plan: LinkPlan | None) -> PageSet:
        """Which pages there are of what CRIU was told nothing of."""
        mappings = self.withheld.mappings(pid)
        if not mappings:
            return EMPTY
        self.withheld.require_savable(pid)
        if plan is not None:
            return (plan.needed | plan.held) & mappings
        with PageReader(pid) as reader:
            return reader.in_use(read_maps(pid)).dumpable & mappings

    def _identities(self) -> dict[int, Identity]:
        """Every process of the frozen tree, by the pid that it knows itself by."""
        root = self._session.root
        found = {}
        for identity in (root, *(stat.identity for stat in child_processes({root.pid}))):
            try:
                found[innermost_pid(identity.pid)] = identity
            except TargetGone:
                continue
        return found

    # -- then

    def splice(self, images: PartialDirectory) -> None:
        """Make one link of CRIU's part, ours, and the parent.

        If `is_copied` the tree may run meanwhile.

        Raises:
            LinkFailed: the disk would not take it. BadImage: CRIU's part is damaged.
            TargetGone, Cancelled: as of `save`.
        """
        by_name = {pagemap_name(process.inner_pid): process for process in self._plans}
        for share in self._shares:
            lazy = EMPTY
            if share.withheld:
                with images.reading() as place:
                    lazy = share.withheld - never_lazy_pages(place, share.inner_pid)
            pagemap = splice(
                images,
                share.name,
                share.needed,
                partial(self._write, share),
                share.holes,
                unlisted=share.withheld,
                unlisted_lazy=lazy,
            )
            if share.name in by_name:
                self.covered[by_name[share.name]] = pagemap.covered
        if self._parent is not None:
            images.link(PARENT, os.path.join(os.pardir, self._parent.name))
        if not self.is_copied:
            self._clock.note(Step.COPIED)

    def _write(self, share: _Share, fd: int, pages: PageSet) -> None:
        """Write some pages of a process, which are consecutive in what was needed of it."""
        if not pages:
            return
        if not self.is_copied:
            self._stream(share, fd, pages)
            return
        begin = share.offset + (int(share.needed.count_below(pages.starts[:1])[0]) << PAGE_SHIFT)
        for at in range(begin, begin + pages.size_bytes, CHUNK_BYTES):
            end = min(at + CHUNK_BYTES, begin + pages.size_bytes)
            with self._stash.buffer.view[at:end] as data:
                write_fully(fd, data)
            self._gauge.advance("writing", end - at)

    def _stream(self, share: _Share, fd: int, pages: PageSet) -> None:
        """Write pages straight from the frozen process."""
        buffer = self._stash.buffer
        for chunk in pages.chunks(min(buffer.size_bytes, CHUNK_BYTES) >> PAGE_SHIFT, MOST_RANGES):
            got = share.memory.read(chunk, buffer)
            self._require(share, chunk - got)
            with buffer.view[: got.size_bytes] as data:
                write_fully(fd, data)
            self._gauge.advance("writing", got.size_bytes)

    def _require(self, share: _Share, unreadable: PageSet) -> None:
        if unreadable:
            pid = share.memory.pid
            raise LinkFailed(
                f"process {pid}: {unreadable.count} pages cannot be read, the first at "
                f"{int(unreadable.starts[0]) << PAGE_SHIFT:#x}",
                pid=pid,
            )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give descriptors back."""
        for share in self._shares:
            share.memory.close()
        self._relatives.close()
