"""Watches who writes: the faults of a target's threads beside the ticks of its session."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.attribution.chains import ChainTable
from engine.attribution.fault_cost import measure_sample_cost_s
from engine.attribution.matching import NO_TOUCHES, Touches, match
from engine.attribution.symbols import Frame, Symbols
from engine.attribution.tally import Tally
from engine.errors import NotPermitted, NotSupported, TargetGone
from engine.kernel.huge_pages import pages_per_huge_page
from engine.kernel.maps import Maps
from engine.kernel.perf_events import FaultEvents, Faults
from engine.pageset import PAGE_SHIFT, Int64Array
from engine.printable import printable
from engine.tracking.heat import Found
from engine.tracking.sample import RateMode, Sample
from engine.tracking.session import Session

_DRAIN_EVERY_S: Final = 0.1
"""A ring of 8 MiB takes some 60,000 samples."""
_LONGEST_PERIOD: Final = 256
_COMFORT: Final = 0.4
"""Of the budget: below it, twice as many samples would still fit."""
_PARANOID: Final = "/proc/sys/kernel/perf_event_paranoid"


@dataclass(frozen=True, slots=True)
class AttributionBudget:
    """What attribution may cost before it looks at one fault of several."""

    cpu: float = 0.01
    """Share of a core, of ours."""
    target_s_per_page: float = 2e-6
    """Of the target's time, for each page written."""


DEFAULT_ATTRIBUTION_BUDGET: Final = AttributionBudget()
NO_ATTRIBUTION_BUDGET: Final = AttributionBudget(float("inf"), float("inf"))


@dataclass(frozen=True, slots=True)
class AttributionCost:
    """What it has cost, measured."""

    cpu: float
    """Share of a core, of ours, in the last tick."""
    target_s_per_page: float
    """Of the target's time for each page written, beyond tracking; measured on ourselves when it began."""
    period: int
    """One of so many faults is looked at."""


class WriterWatch:
    """Says of each tick of a session whose the written pages are.

    The session must be armed, and re-arm with each tick. Every thread of the tree is watched, and those that
    they start; nothing of it is in the target, and the kernel takes it away with us.
    """

    def __init__(self, session: Session, budget: AttributionBudget = DEFAULT_ATTRIBUTION_BUDGET) -> None:
        """Open the events.

        Raises:
            NotPermitted: perf events of this target are not ours to open; says why, and what to do.
            NotSupported: the session only reads, or the kernel has no such events.
            TargetGone: it has exited.
        """
        if session.mode is not RateMode.REARMING:
            raise NotSupported(
                "who writes is told only where each tick re-arms", hint="set the mode to re-arming first"
            )
        self._session = session
        self._budget = budget
        self._lock = threading.Lock()
        self._pending: dict[int, Touches] = {}
        self._lost = 0
        self._share = 0.0
        self._period_before = 1
        self._cpu_s = 0.0
        self._commands: dict[int, str] = {}
        self._maps: dict[int, Maps] = {}
        self._seen_chains = 0
        self.symbols = Symbols()
        # First, since rings of ours may take up all the memory that a user may lock.
        self._target_s_per_page = measure_sample_cost_s(True) or measure_sample_cost_s(False)
        self._events = _open_events(session)
        self.sees_kernel = self._events.with_kernel
        """Whether what the kernel writes for the target, as in `read(2)`, counts for the code that asked."""
        self._table = ChainTable(self._events.depth)
        self.tally = Tally()
        # No fault was seen of what was written between arming and opening the events. A tick that counts for
        # nothing begins an epoch of which all is seen.
        try:
            session.tick()
        except BaseException:
            self._events.close()
            raise
        self._last_s = time.monotonic()
        self._stopped = threading.Event()
        self._drainer = threading.Thread(target=self._drain, name="read page faults", daemon=True)
        self._drainer.start()

    def tick(self) -> Sample:
        """Tick the session, and add to `tally` whose the written pages are. Errors as of `Session.tick`."""
        sample = self._session.tick()
        self.observe(sample)
        return sample

    def observe(self, sample: Sample) -> None:
        """Add to `tally` whose the written pages are of a tick that somebody else has made, just now."""
        began_ns = int(sample.time_s * 1e9)
        found = {each.pid: each for each in _found(self._session)}
        began_cpu_s = time.thread_time()
        self._read()
        with self._lock:
            pending, self._pending = self._pending, {}
            self.tally.lost_faults += self._lost
            self._lost = 0
        for pid, each in found.items():
            self._maps[pid] = each.maps
            touches = pending.pop(pid, NO_TOUCHES)
            # Where only some are looked at, one fault in a huge page says nothing of the others.
            huge_pages = pages_per_huge_page() if self._events.period == 1 else 1
            matched = match(touches, each.written, began_ns, huge_pages)
            self.tally.add(pid, each.maps, matched, each.written.count)
            with self._lock:
                self._add(pid, matched.later)
        now_s = time.monotonic()
        seconds, self._last_s = now_s - self._last_s, now_s
        self.tally.seconds += seconds
        self._keep_budget(time.thread_time() - began_cpu_s, seconds)
        self._name_new()  # later, as it is done once for each place: it is no cost of a tick

    @property
    def cost(self) -> AttributionCost:
        """What it costs."""
        return AttributionCost(self._share, self._target_s_per_page, self._events.period)

    def frames(self, chain: int) -> tuple[Frame, ...]:
        """A call chain in words: the innermost first, then its callers."""
        pid, addresses = self._table[chain]
        maps = self._maps.get(pid, Maps())
        return tuple(
            self.symbols.look_up(pid, maps, address, is_caller=at > 0) for at, address in enumerate(addresses)
        )

    def thread_name(self, pid: int, tid: int) -> str:
        """What a thread is called; printable."""
        return self._commands.get(tid, f"thread {tid}")

    def close(self) -> None:
        """Close the events; may be called twice."""
        self._stopped.set()
        self._drainer.join()
        self._events.close()
        self.symbols.close()

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    # -- reading

    def _drain(self) -> None:
        """Empty the rings again and again, so that they never fill."""
        while not self._stopped.wait(_DRAIN_EVERY_S):
            began_s = time.thread_time()
            self._read()
            self._cpu_s += time.thread_time() - began_s

    def _read(self) -> None:
        with self._lock:
            faults = self._events.read()
            self._lost += faults.lost
            if len(faults):
                self._sort(faults)

    def _sort(self, faults: Faults) -> None:
        """Add faults to those of their process."""
        pids = np.unique(faults.pids)
        for pid in pids.tolist():
            chosen = slice(None) if len(pids) == 1 else np.flatnonzero(faults.pids == pid)
            self._add(
                pid,
                Touches(
                    faults.times_ns[chosen],
                    (faults.addresses[chosen] >> np.uint64(PAGE_SHIFT)).astype(np.int64),
                    faults.tids[chosen],
                    self._table.number(pid, faults.chains[chosen]),
                    self._weights(faults.times_ns[chosen]),
                ),
            )

    def _weights(self, times_ns: Int64Array) -> NDArray[np.int32]:
        """How many faults each sample stands for."""
        is_new = times_ns >= self._events.period_since_ns
        return np.where(is_new, self._events.period, self._period_before).astype(np.int32)

    def _set_period(self, period: int) -> None:
        with self._lock:
            self._period_before = self._events.period
            self._events.set_period(period)

    def _add(self, pid: int, touches: Touches) -> None:
        if not len(touches):
            return
        before = self._pending.get(pid)
        self._pending[pid] = touches if before is None else before + touches

    def _name_new(self) -> None:
        """Look up what is new while its process lives: threads' names, and places in its files."""
        for chain in range(self._seen_chains, len(self._table)):
            self.frames(chain)
        self._seen_chains = len(self._table)
        for writer in self.tally.pages:
            if writer.tid not in self._commands:
                self._commands[writer.tid] = _command_of(writer.pid, writer.tid)

    def _keep_budget(self, cpu_s: float, seconds: float) -> None:
        drained_s, self._cpu_s = self._cpu_s, 0.0
        self._share = (cpu_s + drained_s) / seconds if seconds > 0 else 0.0
        period = self._events.period
        over = max(
            self._share / self._budget.cpu, self._target_s_per_page / period / self._budget.target_s_per_page
        )
        if over > 1 and period < _LONGEST_PERIOD:
            self._set_period(min(_LONGEST_PERIOD, period * 2 ** min(4, int(over).bit_length())))
        elif over < _COMFORT and period > 1:
            self._set_period(period // 2)


def _open_events(session: Session) -> FaultEvents:
    try:
        return _watch_all(session, FaultEvents())
    except NotPermitted:  # the kernel's part takes more rights than the target's own
        pass
    try:
        return _watch_all(session, FaultEvents(with_kernel=False))
    except NotPermitted as error:
        raise NotPermitted(
            f"{error.message}; kernel.perf_event_paranoid is {_paranoid()}",
            pid=session.root.pid,
            hint="run as root, with CAP_PERFMON and CAP_SYS_PTRACE, or set kernel.perf_event_paranoid to 1",
        ) from error


def _watch_all(session: Session, events: FaultEvents) -> FaultEvents:
    """Watch every thread there is; those that start from then on are watched with whoever starts them."""
    try:
        _add_threads(session, events)
    except BaseException:
        events.close()
        raise
    return events


def _add_threads(session: Session, events: FaultEvents) -> None:
    for _ in range(2):  # between the first look and its end some may have started that nobody watches
        for pid in _pids(session):
            for tid in _threads_of(pid) - events.tids:
                try:
                    events.add(tid)
                except TargetGone:
                    continue
    if not events.tids:
        raise TargetGone(f"process {session.root.pid} has exited", pid=session.root.pid)


def _pids(session: Session) -> list[int]:
    with session.held() as processes:
        return [process.identity.pid for process in processes]


def _found(session: Session) -> list[Found]:
    with session.held() as processes:
        return [process.found for process in processes if process.found]


def _threads_of(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()


def _command_of(pid: int, tid: int) -> str:
    try:
        with open(f"/proc/{pid}/task/{tid}/comm", "rb") as file:
            return printable(file.read().rstrip(b"\n"))
    except OSError:
        return f"thread {tid}"


def _paranoid() -> str:
    try:
        with open(_PARANOID) as file:
            return file.read().strip()
    except OSError:
        return "not told"
