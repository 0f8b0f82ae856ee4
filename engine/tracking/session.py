"""A watched process tree: arm it, tick it, read samples.

A `Session` owns the trackers of a process and its descendants. Children join when they fork and
leave when they exit; a program that starts another (`execve`) is armed again. Ticks and images may come from
different threads: every method holds the session while it works, and `held` does so for a block.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

from engine.errors import DirtytopError, EpochLent, KernelThread, NotSupported, TargetGone
from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.process import (
    Identity,
    ProcessStat,
    read_stat,
)
from engine.pageset import EMPTY, PAGE_SIZE, PageSet
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget, CostKeeper
from engine.tracking.cost_words import CostTeller
from engine.tracking.curve import summed
from engine.tracking.heat import HeatGrid
from engine.tracking.held_processes import HeldProcesses
from engine.tracking.probe import probe
from engine.tracking.process_tree import Newcomers, ProcessTree
from engine.tracking.sample import EventKind, ProcessSample, RateMode, Sample, Totals, TrackerKind
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.tracker import Tracker
from engine.tracking.trackers import abilities_of, new_tracker
from engine.tracking.uffd_source import UffdSource

_SEAMS: Final = (
    "armed by write-protection: memory mapped right behind other memory stays apart from it until the next "
    "tick, and an mremap of both at once fails till then"
)


class Session:
    """Samples a target and its descendants."""

    def __init__(
        self, pid: int, tracker: TrackerKind | None = None, budget: CostBudget = DEFAULT_BUDGET
    ) -> None:
        """Look at the target; nothing in it is changed before `arm`.

        Args:
            pid: the root of the tree.
            tracker: how to learn of writes; None takes what works here.
            budget: what tracking may cost the target; see `paced_s`.

        Raises:
            TargetGone: there is no such process, or it is a zombie.
            NotPermitted: it is not ours to look into.
            KernelThread: it has no memory of its own.
            NotSupported: the tracker does not work on this kernel, or the target is this program.
        """
        support = probe()
        self.tracker = tracker or support.best_for(pid)
        support.require(self.tracker)
        self._abilities = abilities_of(self.tracker)
        self._fault_s = support.of(self.tracker).fault_s
        self._costs = CostKeeper(budget, time.monotonic())
        self._told_costs = CostTeller()
        self._lock = threading.RLock()
        self._source = UffdSource()
        self._told_of_huge_pages: set[Identity] = set()
        self._told_clears: WeakKeyDictionary[TrackedProcess, int] = WeakKeyDictionary()
        self._heat = HeatGrid()
        self._armed_at_s: float | None = None
        self._last_collect_s: float | None = None
        self._number = 0
        self._borrower: object | None = None
        self.image_owner: object | None = None
        """With regard to whose images pages are pending; whoever makes images sets it (`forget_images`)."""
        stat = _require_trackable(pid)
        self.root = stat.identity
        self._tree = ProcessTree(stat, self._new_tracker, self._costs)
        self.modes = self._abilities.modes
        self.mode = self.modes[0]

    @property
    def is_armed(self) -> bool:
        """Whether writes are being tracked."""
        return self._armed_at_s is not None

    @property
    def is_alive(self) -> bool:
        """False once the whole tree has exited, or its root turned out to be one that cannot be tracked."""
        return len(self._tree) > 0

    def why_over(self) -> DirtytopError:
        """Why there is nothing to look at any more: the root was refused, or has exited."""
        pid = self.root.pid
        return self._tree.refused.get(self.root) or TargetGone(f"process {pid} has exited", pid=pid)

    @contextmanager
    def held(self) -> Iterator[HeldProcesses]:
        """Hold the session: other threads' ticks, links and orders wait until the end of the block.

        The thread that holds it may call any method of the session, and hold it once more.

        Yields:
            The living processes of the tree, which are out of reach after the block.
        """
        with self._lock:
            processes = HeldProcesses(self._tree)
            try:
                yield processes
            finally:
                processes.let_go()

    @property
    def process_count(self) -> int:
        """How many processes of the tree are alive."""
        return len(self._tree)

    @property
    def foreign_clears(self) -> int:
        """How often somebody else has cleared soft-dirty bits of these processes."""
        with self._lock:
            return sum(process.foreign_clears for process in self._tree)

    @property
    def refused(self) -> dict[Identity, DirtytopError]:
        """Descendants that could not be tracked, and why."""
        with self._lock:
            return dict(self._tree.refused)

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Begin, or begin anew: since-armed starts at zero. Pages that are pending stay pending.

        Args:
            even_if_lent: clear soft-dirty bits although a chain of CRIU's relies on them; its next
                link will be a full one.

        Raises:
            EpochLent: the bits are a chain's of CRIU.
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: the root cannot be tracked.
        """
        with self._lock:
            if not even_if_lent:
                self.require_own_epoch()
            again = self.is_armed
            self._take_up(self._tree.arm)
            self._told_of_huge_pages.clear()
            if again:
                self._tree.note(EventKind.REARMED, self.root.pid, "re-armed: counts begin anew")
            elif self._abilities.keeps_mappings_apart:
                self._tree.note(EventKind.SEAMS, self.root.pid, _SEAMS)

    def require_own_epoch(self) -> None:
        """Make sure that nobody relies on bits that are to be cleared. Raises EpochLent."""
        if self.is_lent:
            raise EpochLent(
                f"process {self.root.pid}: the next link of CRIU's chain relies on its soft-dirty bits",
                pid=self.root.pid,
                hint="end the chain with a dump; arming all the same makes its next link a full one",
            )

    def attach(self) -> None:
        """Take trackers into service without beginning an epoch: the next link does, or has done.

        What was dirty before still shows in ticks until then, and nothing is stopped. Where the kernel tracks
        nothing before it is armed, this is the same as `arm`. Errors as of `arm`.
        """
        if self.is_armed or not self._abilities.tracks_before_armed:
            return self.arm()
        with self._lock:
            self._take_up(self._tree.attach)
        return None

    def _take_up(self, tracking: Callable[[], None]) -> None:
        self._tree.follow()
        if not self.is_alive:
            raise self.why_over()
        tracking()
        self._armed_at_s = self._last_collect_s = time.monotonic()
        self._number = 0

    def set_mode(self, mode: RateMode) -> None:
        """Change what a tick does to the tracker.

        Raises:
            NotSupported: this tracker has no such mode.
        """
        if mode not in self.modes:
            raise NotSupported(
                f"{self.tracker.value} tracking has no {mode.value} mode",
                pid=self.root.pid,
                hint=f"it has {self.modes[0].value} mode alone; soft-dirty tracking has both",
            )
        with self._lock:
            if mode is RateMode.REARMING and self.is_lent:
                raise EpochLent(
                    f"process {self.root.pid}: re-arming would take CRIU's soft-dirty bits away",
                    pid=self.root.pid,
                    hint="end the chain with a dump first",
                )
            if mode is not self.mode:
                self.mode = mode
                self._tree.note(EventKind.MODE, self.root.pid, f"mode is now {mode.value}")

    def tick(self) -> Sample:
        """Look once. A tree that has exited gives a sample without processes.

        Raises:
            NotPermitted: the root has become somebody else's (a set-user-ID program).
        """
        with self._lock:
            began_s = time.perf_counter()
            self._tree.follow(self._newcomers)
            now_s = time.monotonic()
            sampled: list[ProcessSample] = []
            mode = RateMode.CUMULATIVE if self.is_lent else self.mode
            for process in self._tree:
                sample = self._look_at(process, now_s, mode)
                if sample is not None:
                    sampled.append(sample)
            return self._finish_sample(tuple(sampled), began_s, now_s)

    def _look_at(self, process: TrackedProcess, now_s: float, mode: RateMode) -> ProcessSample | None:
        """One process's part in a tick; None if it has exited."""
        try:
            sample = process.tick(now_s, mode)
            if process.foreign_clears > self._told_clears.get(process, 0):
                # A program that has just been started has nothing of what we planted either.
                self._tree.require_same_program(process)
        except TargetGone:
            self._tree.has_gone(process, self._newcomers)
            successor = self._tree.get(process.identity.pid)
            return self._look_at(successor, now_s, mode) if successor is not None else None
        self._tell_foreign_clears(process)
        self._tell_huge_pages(process, sample)
        return sample

    def forget_images(self, owner: object) -> None:
        """From now on pages are pending with regard to the images of `owner`, of which there are none yet."""
        with self._lock:
            self.image_owner = owner
            for process in self._tree:
                process.forget_images()

    def finish_link(self, owner: object, covered: Mapping[TrackedProcess, PageSet]) -> None:
        """An image of the owner's is there: what it covers is no longer pending, unless written since.

        Nothing happens if pages are pending with regard to another chain's images meanwhile.
        """
        with self._lock:
            if self.image_owner is owner:
                for process in self._tree:
                    process.finish_link(covered.get(process, EMPTY))

    def abandon_link(self, owner: object) -> None:
        """An image of the owner's did not come to be: its pages are pending as before."""
        with self._lock:
            if self.image_owner is owner:
                for process in self._tree:
                    process.abandon_link()

    @property
    def is_lent(self) -> bool:
        """Whether the soft-dirty bits are a chain's of CRIU: we only read them then."""
        return self._borrower is not None and self._abilities.shares_epochs

    def lend_epoch(self, borrower: object) -> None:
        """From now on the soft-dirty bits are the borrower's: ticks only read them, arming is refused."""
        with self._lock:
            if self._borrower is None and self._abilities.shares_epochs:
                text = "a chain of CRIU's is open: from now on its soft-dirty bits are only read"
                self._tree.note(EventKind.MODE, self.root.pid, text)
            self._borrower = borrower

    def take_back_epoch(self, borrower: object) -> None:
        """The borrower needs the bits no more."""
        with self._lock:
            if self._borrower is borrower:
                self._borrower = None

    def follow_tree(self, *, arm: bool = True) -> None:
        """Take in children that were born and drop processes that exited, now.

        Args:
            arm: those that can be paid for. What is about to be stopped and saved in full need not be.
        """
        with self._lock:
            self._tree.follow(self._newcomers if arm else Newcomers.SEEN)

    @property
    def _newcomers(self) -> Newcomers:
        return Newcomers.READ if self.is_lent else Newcomers.ARMED

    def set_budget(self, budget: CostBudget) -> None:
        """Keep another cost budget from now on."""
        with self._lock:
            self._costs.set_budget(budget)

    def paced_s(self, asked_s: float, within_s: float = math.inf) -> float:
        """How long after the last tick the next is to come.

        Args:
            asked_s: what the user wants.
            within_s: it must not be put off beyond this.

        Returns:
            The same, or more where ticks would otherwise cost the target more than the budget allows.
        """
        with self._lock:
            return self._costs.pause_s(asked_s, within_s)

    def close(self) -> None:
        """Take every trace of us from the targets; may be called twice."""
        with self._lock:
            self._tree.close()
            self._source.close()

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _new_tracker(self, identity: Identity) -> Tracker:
        return new_tracker(self.tracker, identity, self._source)

    def _tell_foreign_clears(self, process: TrackedProcess) -> None:
        if process.foreign_clears > self._told_clears.get(process, 0):
            self._told_clears[process] = process.foreign_clears
            self._tree.note(
                EventKind.FOREIGN_CLEAR,
                process.identity.pid,
                f"another program cleared the soft-dirty bits of {process.command}, or the process itself: "
                "writes may have gone unseen, and the next image will be a full one",
            )

    def _tell_huge_pages(self, process: TrackedProcess, sample: ProcessSample) -> None:
        if sample.huge_inflation_pages and process.identity not in self._told_of_huge_pages:
            self._told_of_huge_pages.add(process.identity)
            most = pages_per_huge_page()
            text = f"{process.command} writes to huge pages: up to {most} pages counted for one write"
            self._tree.note(EventKind.HUGE_PAGES, process.identity.pid, text)

    # -- the sample

    def _finish_sample(self, processes: tuple[ProcessSample, ...], began_s: float, now_s: float) -> Sample:
        interval_s = now_s - self._last_collect_s if self._last_collect_s is not None else 0.0
        self._last_collect_s = now_s
        number, self._number = self._number, self._number + 1
        written = sum(process.totals.written_pages for process in processes)
        inflated = sum(process.huge_inflation_pages for process in processes)
        left_us, self._tree.left_stopped_us = self._tree.left_stopped_us, 0
        stopped_us = sum(process.stopped_us for process in processes) + left_us
        faults_s = written * self._fault_s if self.is_armed else 0.0
        spent_s = faults_s + (stopped_us / 1e6 if self.is_armed else 0.0)
        is_slowed = self._costs.is_slowed
        self._costs.ticked(now_s, faults_s, stopped_us / 1e6)
        unarmed = sum(not process.is_tracked for process in processes) if self.is_armed else 0
        for text in self._told_costs.news(self._costs, unarmed, now_s):
            self._tree.note(EventKind.COST, self.root.pid, text)
        events, self._tree.events = tuple(self._tree.events), []
        found = [process.found for process in self._tree if process.found]
        return Sample(
            number=number,
            time_s=now_s,
            elapsed_s=now_s - self._armed_at_s if self._armed_at_s is not None else 0.0,
            interval_s=interval_s,
            tracker=self.tracker,
            mode=RateMode.CUMULATIVE if self.is_lent else self.mode,
            processes=processes,
            totals=Totals(
                present_pages=sum(process.totals.present_pages for process in processes),
                written_pages=written,
                since_armed_pages=sum(process.totals.since_armed_pages for process in processes),
                pending_pages=sum(process.totals.pending_pages for process in processes),
                pages_per_s=written / interval_s if interval_s > 0 else 0.0,
                dumpable_pages=sum(process.totals.dumpable_pages for process in processes),
            ),
            tick_ms=(time.perf_counter() - began_s) * 1e3,
            stopped_us=stopped_us,
            cost_fraction=spent_s / interval_s if interval_s > 0 else 0.0,
            page_bytes=PAGE_SIZE,
            events=events,
            huge_inflation_pages=inflated,
            most_pages_per_write=pages_per_huge_page() if inflated else 1,
            curve=summed([process.curve for process in processes]),
            heat=self._heat.tick(now_s, interval_s, found),
            budget=self._costs.budget,
            is_slowed=is_slowed,
        )


def _require_trackable(pid: int) -> ProcessStat:
    """Make sure, before anything is touched, that this can be a target."""
    stat = read_stat(pid)
    if stat.is_kernel_thread:
        raise KernelThread(
            f"process {pid} ({stat.command}) is a kernel thread: it has no memory of its own", pid=pid
        )
    if stat.is_dead:
        raise TargetGone(
            f"process {pid} ({stat.command}) is a zombie: it has exited, and its parent has not asked",
            pid=pid,
        )
    if pid == os.getpid():
        raise NotSupported(f"process {pid} is dirtytop itself", pid=pid, hint="pick another process")
    return stat
