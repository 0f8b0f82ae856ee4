"""The targets being watched: takes them, lets them go, and runs their samplers and jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from textual.message import Message

from engine.errors import TargetGone
from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.sample import TrackerKind
from tui.backend import Backend, Tracking
from tui.messages import Post
from tui.orders import ChainOrder, LinkRequest, Wait
from tui.targets.target import Target, nobody
from tui.targets.told import Told
from tui.threads.calibration import Calibration
from tui.threads.link_job import LinkJob
from tui.threads.sampler import Sampler

JOIN_S: Final = 5.0
"""How long leaving waits for a job to give up and for targets to be let go."""


class WatchList:
    """All targets, one of which is in view.

    Args:
        backend: where targets and chains come from.
        post: where samplers and jobs send their messages; safe to call from a thread.
        tracker: for every target; None lets the engine choose.
        cost_budget: what tracking may cost each of them.
        changed: called whenever anything else is known of them, or others are watched or in view.
    """

    def __init__(
        self,
        backend: Backend,
        post: Callable[[Message], object],
        tracker: TrackerKind | None,
        cost_budget: CostBudget = DEFAULT_BUDGET,
        changed: Callable[[], None] = nobody,
    ) -> None:
        self.targets: list[Target] = []
        self.current: Target | None = None
        self._backend = backend
        self._post = post
        self._tracker = tracker
        self._cost_budget = cost_budget
        self._changed = changed
        self._leaving: list[Sampler | LinkJob | Calibration] = []
        self._calibrations: dict[Target, Calibration] = {}

    @property
    def busy(self) -> list[Target]:
        """Those with a pre-dump or dump under way."""
        return [target for target in self.targets if target.facts.is_busy]

    @property
    def waiting(self) -> list[Target]:
        """Those with a trigger set."""
        return [target for target in self.targets if target.facts.wait is not None]

    def watch(
        self,
        pid: int,
        *,
        start_ticks: int | None = None,
        command: str = "",
        interval_s: float,
        arm: bool,
        stop_budget_s: float = STOP_BUDGET_S,
    ) -> Target:
        """Watch a process and bring it into view; one that is watched already only comes into view."""
        for target in self.targets:
            if target.pid == pid and not target.facts.is_over:
                self.bring_into_view(target)
                return target
        target = Target(pid, command, interval_s, self._changed)
        opening = partial(self._open, pid, start_ticks)
        target.sampler = Sampler(pid, opening, self._post_of(target), interval_s=interval_s, arm=arm)
        target.sampler.advisor.set_budget(stop_budget_s)
        self.targets.append(target)
        self.bring_into_view(target)
        target.sampler.start()
        return target

    def bring_into_view(self, target: Target) -> None:
        """Make one of them the one in view."""
        self.current = target
        self._changed()

    def _post_of(self, target: Target) -> Post:
        """Where a thread's messages go, with whose they are."""
        return lambda what: self._post(Told(target, what))

    def _open(self, pid: int, start_ticks: int | None) -> Tracking:
        tracking = self._backend.open_target(pid, self._tracker, self._cost_budget)
        if start_ticks is not None and tracking.root.start_ticks != start_ticks:
            tracking.close()
            raise TargetGone(f"process {pid} has exited, and another process has its pid now", pid=pid)
        return tracking

    def unwatch(self, target: Target) -> None:
        """Let a target go; the next one comes into view."""
        at = self.targets.index(target)
        self.targets.remove(target)
        if self.current is target:
            self.current = self.targets[min(at, len(self.targets) - 1)] if self.targets else None
        self._leave(target)
        self._changed()

    def turn(self, step: int) -> None:
        """Bring the next (1) or the previous (-1) target into view."""
        if self.current is not None:
            at = self.targets.index(self.current) + step
            self.bring_into_view(self.targets[at % len(self.targets)])

    def make_link(self, target: Target, request: LinkRequest) -> None:
        """Start a pre-dump or dump of a target that has none under way."""
        assert target.job is None, "one job per target at a time"
        sampler = target.sampler
        if sampler is None or sampler.tracking is None:
            return
        post = self._post_of(target)
        job = LinkJob(sampler.tracking, request, target.open_chain, sampler.advisor, self._backend, post)
        target.begin(job)
        job.start()

    def calibrate(self, target: Target, order: ChainOrder) -> None:
        """Find out, once, what links of a target would cost; meanwhile ticks go on."""
        if target.sampler is not None and target not in self._calibrations:
            self._start_calibration(target, order)

    def measure(self, target: Target, order: ChainOrder, wait: Wait) -> None:
        """Find out what the links of a trigger would cost, in place of whatever is being found out."""
        self.stop_measuring(target)
        self._start_calibration(target, order, wait)

    def stop_measuring(self, target: Target) -> None:
        """Let nobody be told what links of a target would cost."""
        if (calibration := self._calibrations.get(target)) is not None:
            calibration.cancel()
            self._leaving.append(calibration)

    def _start_calibration(self, target: Target, order: ChainOrder, wait: Wait | None = None) -> None:
        sampler = target.sampler
        if sampler is None or sampler.tracking is None:
            return
        post = self._post_of(target)
        calibration = Calibration(sampler.tracking, sampler.advisor, order, self._backend, post, wait)
        self._calibrations[target] = calibration
        calibration.start()

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[bool]:
        """Keep every sampler from touching its target; False if one could not be kept in time."""
        with ExitStack() as stack:
            samplers = [target.sampler for target in self.targets if target.sampler]
            kept = [stack.enter_context(sampler.held(timeout_s)) for sampler in samplers]
            yield all(kept)

    def leave_all(self) -> None:
        """Cancel every job and let every target go, without waiting; see `join`."""
        for target in self.targets:
            self._leave(target)

    def _leave(self, target: Target) -> None:
        if target.sampler in self._leaving:
            return
        if (calibration := self._calibrations.pop(target, None)) is not None:
            calibration.cancel()
            self._leaving.append(calibration)
        if target.job is not None:
            target.job.cancel()
            self._leaving.append(target.job)
        if target.sampler is not None:
            target.sampler.stop(target.job)
            self._leaving.append(target.sampler)

    def join(self, timeout_s: float = JOIN_S) -> bool:
        """Wait until all that was left has ended; False if that took too long."""
        until = time.monotonic() + timeout_s
        ended = [thread.join(max(0.0, until - time.monotonic())) for thread in self._leaving]
        return all(ended)
