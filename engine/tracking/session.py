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
from typing import Self

from engine.errors import DirtytopError, KernelThread, NotSupported, TargetGone
from engine.kernel.process import Identity, ProcessStat, read_stat
from engine.pageset import EMPTY, PageSet
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget, CostKeeper
from engine.tracking.epoch_loan import EpochLoan
from engine.tracking.event_log import EventLog
from engine.tracking.held_processes import HeldProcesses
from engine.tracking.probe import probe
from engine.tracking.process_tree import Newcomers, ProcessTree
from engine.tracking.sample import EventKind, ProcessSample, RateMode, Sample, TrackerKind
from engine.tracking.settling import require_same_program
from engine.tracking.ticks import Seen, Ticks
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.tracker import Tracker
from engine.tracking.trackers import abilities_of, new_tracker
from engine.tracking.uffd_source import UffdSource


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
            NotPermitted: dirtytop is not permitted to look into it.
            KernelThread: it has no memory of its own.
            NotSupported: the tracker does not work on this kernel, or the target is this program.
        """
        support = probe()
        self.tracker = tracker or support.best_for(pid)
        support.require(self.tracker)
        self._abilities = abilities_of(self.tracker)
        self._lock = threading.RLock()
        self._source = UffdSource()
        self.image_owner: object | None = None
        """The chain with regard to whose images pages are pending; see `forget_images`."""
        stat = _require_trackable(pid)
        self.root = stat.identity
        self._costs = CostKeeper(budget, time.monotonic())
        self.arms = 0
        """How often it has been armed."""
        self._log = EventLog(self.root)
        self._loan = EpochLoan(self.root, shares_epochs=self._abilities.shares_epochs)
        self._ticks = Ticks(self.tracker, support.of(self.tracker).fault_s, self._costs, self._log)
        self._tree = ProcessTree(stat, self._new_tracker, self._costs, self._log)
        self.modes = self._abilities.modes
        self.mode = self.modes[0]

    @property
    def is_armed(self) -> bool:
        """Whether writes are being tracked."""
        return self._ticks.are_armed

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
        """How often other programs have cleared soft-dirty bits of these processes."""
        with self._lock:
            return sum(process.foreign_clears for process in self._tree)

    @property
    def refused(self) -> dict[Identity, DirtytopError]:
        """Descendants that could not be tracked, and why."""
        with self._lock:
            return dict(self._tree.refused)

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Begin to count, or begin again: since-armed starts at zero. Pages that are pending stay pending.

        Args:
            even_if_lent: clear soft-dirty bits although a chain of CRIU's relies on them; its next
                link will be a full one.

        Raises:
            EpochLent: the bits are lent to a chain of CRIU's.
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: the root cannot be tracked.
        """
        with self._lock:
            if not even_if_lent:
                self.require_own_epoch()
            again = self.is_armed
            self._take_up(self._tree.arm)
            self.arms += 1
            self._log.note_armed(again=again, leaves_seams=self._abilities.keeps_mappings_apart)

    def require_own_epoch(self) -> None:
        """Make sure that nobody relies on bits that are to be cleared. Raises EpochLent."""
        self._loan.require_own(
            "the next link of CRIU's chain relies on its soft-dirty bits",
            "end the chain with a dump first; arming anyway makes its next link a full one",
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
        self._ticks.begin(time.monotonic())

    def set_mode(self, mode: RateMode) -> None:
        """Change what a tick does to the tracker.

        Raises:
            NotSupported: this tracker has no such mode.
        """
        if mode not in self.modes:
            raise NotSupported(
                f"{self.tracker.value} tracking has no {mode.value} mode",
                pid=self.root.pid,
                hint=f"it has {self.modes[0].value} mode only; soft-dirty tracking has both",
            )
        with self._lock:
            if mode is RateMode.REARMING:
                self._loan.require_own(
                    "re-arming would take CRIU's soft-dirty bits away", "end the chain with a dump first"
                )
            if mode is not self.mode:
                self.mode = mode
                self._log.note(EventKind.MODE, self.root, f"mode is now {mode.value}")

    def tick(self) -> Sample:
        """Look once. A tree that has exited gives a sample without processes.

        Raises:
            NotPermitted: the root runs as another user now (a set-user-ID program).
        """
        with self._lock:
            began_s = time.perf_counter()
            self._tree.follow(self._newcomers)
            now_s = time.monotonic()
            mode = RateMode.CUMULATIVE if self.is_lent else self.mode
            sampled = [self._look_at(process, now_s, mode) for process in self._tree]
            seen = Seen(
                began_s,
                now_s,
                mode,
                processes=tuple(sample for sample in sampled if sample is not None),
                found=[process.found for process in self._tree if process.found],
                left_stopped_us=self._tree.take_left_stopped_us(),
            )
            return self._ticks.sum_up(seen)

    def _look_at(self, process: TrackedProcess, now_s: float, mode: RateMode) -> ProcessSample | None:
        """One process's part in a tick; None if it has exited."""
        try:
            sample = process.tick(now_s, mode)
            if self._log.has_new_clear(process):
                # A program that has just been started has nothing of what we planted either.
                require_same_program(process.identity, process.program)
        except TargetGone:
            self._tree.has_gone(process, self._newcomers)
            successor = self._tree.get(process.identity.pid)
            return self._look_at(successor, now_s, mode) if successor is not None else None
        self._log.note_sampled(process, sample)
        return sample

    def forget_images(self, owner: object) -> None:
        """From now on pages are pending with regard to the images of `owner`, which has made none yet."""
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
        """Whether the soft-dirty bits are lent to a chain of CRIU's: ticks only read them then."""
        return self._loan.is_lent

    def lend_epoch(self, borrower: object) -> None:
        """From now on the soft-dirty bits are the borrower's: ticks only read them, arming is refused."""
        with self._lock:
            if self._loan.lend(borrower):
                text = "a chain of CRIU's is open: from now on its soft-dirty bits are only read"
                self._log.note(EventKind.MODE, self.root, text)

    def take_back_epoch(self, borrower: object) -> None:
        """The borrower needs the bits no more."""
        with self._lock:
            self._loan.take_back(borrower)

    def follow_tree(self, *, arm: bool = True) -> None:
        """Take in children that were born and drop processes that exited, now.

        Args:
            arm: arm the children that can be paid for. A tree that is about to be stopped, and whose
                children are saved in full, does without.
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


def _require_trackable(pid: int) -> ProcessStat:
    """Make sure, before anything is touched, that this can be a target."""
    stat = read_stat(pid)
    if stat.is_kernel_thread:
        raise KernelThread(
            f"process {pid} ({stat.command}) is a kernel thread: it has no memory of its own", pid=pid
        )
    if stat.is_dead:
        raise TargetGone(
            f"process {pid} ({stat.command}) is a zombie: it has exited, and its parent has not waited "
            "for it",
            pid=pid,
        )
    if pid == os.getpid():
        raise NotSupported(f"process {pid} is dirtytop itself", pid=pid, hint="pick another process")
    return stat
