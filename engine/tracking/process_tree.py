"""The processes of a watched tree: children join, the dead leave, and a new program is a new start.

A member is not always tracked: children are armed as the cost budget allows, and only seen until then. An
image holds every process without a tracker in full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from enum import Enum

from engine.errors import DirtytopError, NotSupported, TargetGone
from engine.kernel.kcmp import Shared, share
from engine.kernel.process import Identity, ProcessStat, age_s, child_processes, require_same
from engine.tracking.cost_budget import SETTLED_S, CostKeeper
from engine.tracking.event_log import EventLog
from engine.tracking.sample import EventKind
from engine.tracking.settling import begin_when_settled, program_now
from engine.tracking.tracked_process import TrackedProcess
from engine.tracking.tracker import Tracker


class Newcomers(Enum):
    """What is done with processes that have joined, or have started another program."""

    ARMED = "armed"
    """They are armed as the cost budget allows; the root always is."""
    READ = "read"
    """They are read and not armed: their soft-dirty bits are lent."""
    SEEN = "seen"
    """They are neither: the tree is about to be stopped, and they are saved in full."""


class ProcessTree:
    """A root and its descendants, by pid, the root first."""

    def __init__(
        self,
        root: ProcessStat,
        new_tracker: Callable[[Identity], Tracker],
        costs: CostKeeper,
        log: EventLog,
    ) -> None:
        """Look at the root alone; its descendants come with `follow`.

        Args:
            root: of the tree.
            new_tracker: makes the tracker of one process.
            costs: says which children to arm when.
            log: is told of processes that join, leave, start another program or are refused.

        Raises:
            TargetGone, NotPermitted: it cannot be looked into.
        """
        self._new_tracker = new_tracker
        self._costs = costs
        self._log = log
        self._root = root.identity
        self._members = {root.pid: TrackedProcess(root)}
        self.refused: dict[Identity, DirtytopError] = {}
        """Descendants that could not be tracked, and why."""
        self._sharing: set[Identity] = set()
        """Of these, the ones that shared their parent's memory when they were last looked at."""
        self.is_armed = False
        """Whether processes that join are armed."""
        self._left_stopped_us = 0

    def __iter__(self) -> Iterator[TrackedProcess]:
        """The members as they are now; they may change while one goes through them."""
        return iter(tuple(self._members.values()))

    def __len__(self) -> int:
        """How many are alive."""
        return len(self._members)

    def get(self, pid: int) -> TrackedProcess | None:
        """The member of that pid."""
        return self._members.get(pid)

    def take_left_stopped_us(self) -> int:
        """For how long processes that have left were stopped, as far as no tick of theirs has told."""
        stopped_us, self._left_stopped_us = self._left_stopped_us, 0
        return stopped_us

    def attach(self) -> None:
        """Give all members trackers and begin no epoch; processes that join later are armed.

        Errors as of `arm`.
        """
        self._take_up(list(self), self._attach)

    def arm(self) -> None:
        """Arm the root and every tracked member; the others, and those that join, as can be paid for.

        Raises:
            TargetGone, NotPermitted, AlreadyTraced, NotSupported: the root cannot be tracked.
        """
        self._take_up(
            [process for process in self if process.is_tracked or self._is_root(process)], self._arm
        )
        self._arm_newcomers()

    def _take_up(self, members: list[TrackedProcess], how: Callable[[TrackedProcess], None]) -> None:
        root = self._members.get(self._root.pid)
        for process in members:
            try:
                how(process)
            except DirtytopError as error:
                if program_now(process.identity) not in (None, process.program):
                    self._replace_after_exec(process, must_be_armed=True)
                elif process is root:
                    raise
                else:
                    self.refuse(process, error)
        if root is not None and self._root in self.refused:
            raise self.refused[self._root]
        if not self._members:
            raise TargetGone(f"process {self._root.pid} has exited", pid=self._root.pid)
        self.is_armed = True

    def follow(self, newcomers: Newcomers = Newcomers.ARMED) -> None:
        """Let go of processes that have exited, take in children that were born."""
        for process in self:
            try:
                stat = require_same(process.identity)
            except TargetGone:
                self._forget(process)
                continue
            process.parent_pid = stat.parent_pid
            if stat.program != process.program:
                self._replace_after_exec(process, must_be_armed=self._must_be_armed(process, newcomers))
            else:
                process.command = stat.command  # a program may name itself by what it does
        for stat in child_processes(set(self._members)):
            if stat.identity not in self.refused or stat.identity in self._sharing:
                self._join(stat)
        if self.is_armed and newcomers is Newcomers.ARMED:
            self._arm_newcomers()
        elif self.is_armed and newcomers is Newcomers.READ:
            for process in self:
                self._take_in(process, self._attach)

    def _is_root(self, process: TrackedProcess) -> bool:
        return process.identity == self._root

    def _must_be_armed(self, process: TrackedProcess, newcomers: Newcomers) -> bool:
        return self.is_armed and newcomers is Newcomers.ARMED and self._is_root(process)

    def _arm_newcomers(self) -> None:
        waiting = [process for process in self if not process.is_tracked]
        ages_s = [age_s(process.identity) for process in waiting]
        for at in self._costs.choose(ages_s, time.monotonic()) if waiting else ():
            self._take_in(waiting[at], self._arm)

    def _take_in(self, process: TrackedProcess, how: Callable[[TrackedProcess], None]) -> None:
        """Track a member that was only seen; while it starts another program, it waits for the next look."""
        try:
            how(process)
        except TargetGone:
            return
        except DirtytopError as error:
            if program_now(process.identity) == process.program:
                self.refuse(process, error)

    def has_gone(self, process: TrackedProcess, newcomers: Newcomers = Newcomers.ARMED) -> None:
        """A member was not there when it was looked at: it has exited, or was caught between two programs."""
        # A process loses its memory before it counts as dead: that it is still there says nothing.
        if program_now(process.identity) not in (None, process.program):
            self._replace_after_exec(process, must_be_armed=self._must_be_armed(process, newcomers))
        else:
            self._forget(process)

    def refuse(self, process: TrackedProcess, error: DirtytopError) -> None:
        """A member cannot be tracked: it leaves, with the reason."""
        self._let_go(process)
        del self._members[process.identity.pid]
        self._refuse(process.identity, error)

    def close(self) -> None:
        """Take every trace of us from the members."""
        for process in self:
            process.close()
        self._members.clear()

    def _join(self, stat: ProcessStat) -> None:
        if share(stat.pid, stat.parent_pid, Shared.MEMORY):
            # To track its memory is to track its parent's. A child of vfork starts a program soon.
            if age_s(stat.identity) >= SETTLED_S and stat.identity not in self._sharing:
                self._sharing.add(stat.identity)
                text = f"process {stat.pid} ({stat.command}) shares the memory of process {stat.parent_pid}"
                self._refuse(stat.identity, NotSupported(text, pid=stat.pid))
            return
        self._sharing.discard(stat.identity)
        self.refused.pop(stat.identity, None)
        try:
            self._members[stat.pid] = self._begin(stat.identity, must_be_armed=False)
        except TargetGone:
            return
        except DirtytopError as error:
            self._refuse(stat.identity, error)
            return
        self._log.note(EventKind.JOINED, stat.identity, f"{stat.command} joined, child of {stat.parent_pid}")

    def _replace_after_exec(self, old: TrackedProcess, *, must_be_armed: bool) -> None:
        """Track a member's new program in the place of the old one; where that fails, the member leaves."""
        self._let_go(old)
        try:
            process = self._begin(old.identity, must_be_armed=must_be_armed)
        except TargetGone:
            self._forget(old)
        except DirtytopError as error:
            self.refuse(old, error)
        else:
            self._members[old.identity.pid] = process
            self._log.note(
                EventKind.EXECED, old.identity, f"{old.command} started another program: {process.command}"
            )

    def _begin(self, identity: Identity, *, must_be_armed: bool) -> TrackedProcess:
        """A new member, armed if need be.

        Raises:
            TargetGone: the process has exited.
            DirtytopError: it cannot be tracked.
        """

        def try_to_begin(stat: ProcessStat) -> TrackedProcess:
            process = TrackedProcess(stat)
            try:
                if must_be_armed:
                    self._arm(process)
            except DirtytopError:
                process.close()
                raise
            return process

        return begin_when_settled(identity, try_to_begin)

    def _attach(self, process: TrackedProcess) -> None:
        if not process.is_tracked:
            process.attach(self._new_tracker(process.identity))

    def _arm(self, process: TrackedProcess) -> None:
        is_new, before_us = not process.is_tracked, process.stopped_us
        self._attach(process)
        process.arm()
        stopped_s = (process.stopped_us - before_us) / 1e6
        if is_new and not self._is_root(process):
            self._costs.armed(stopped_s)
        else:
            self._costs.ordered(stopped_s)

    def _refuse(self, identity: Identity, error: DirtytopError) -> None:
        self.refused[identity] = error
        self._log.note(EventKind.UNTRACKABLE, identity, error.message)

    def _let_go(self, process: TrackedProcess) -> None:
        self._left_stopped_us += process.take_stopped_us()
        process.close()

    def _forget(self, process: TrackedProcess) -> None:
        self._let_go(process)
        if self._members.pop(process.identity.pid, None) is not None:
            if not self._is_root(process):
                self._costs.exited(age_s(process.identity), time.monotonic())
            self._log.note(EventKind.LEFT, process.identity, f"{process.command} exited")
