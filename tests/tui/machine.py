"""A scripted machine behind the dashboard: targets, chains and processes that do what a test says."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine.attribution.report import By, Row, Writers
from engine.checkpoint.claim import CLEARED
from engine.checkpoint.earlier import EarlierChain
from engine.checkpoint.engines import EngineReport
from engine.checkpoint.link import After, Cancelled, Engine, LinkProgress, LinkResult, Progress
from engine.errors import Cancelled as CancelledError
from engine.errors import DirtytopError, EpochLent
from engine.forecast.advisor import Advice, Advisor
from engine.forecast.estimate import Estimate
from engine.forecast.plans.rounds import LinkForecast, Plan
from engine.forecast.plans.truth import Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.writes.rhythm import Rhythm
from engine.images.areas import Area
from engine.images.layout import LinkKind
from engine.kernel.maps import Maps, parse_line
from engine.kernel.process import Identity
from engine.processes import ProcessRow
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.sample import Event, EventKind, ProcessSample, RateMode, Sample, Totals, TrackerKind
from tui.orders import ChainOrder

PAGE_BYTES = 4096

MAPS = Maps.of(
    tuple(
        parse_line(line)
        for line in (
            b"55d0c0a00000-55d0c0a40000 r-xp 00000000 fe:01 131 /usr/bin/python3.11",
            b"55d0c0c00000-55d0c0c20000 rw-p 00200000 fe:01 131 /usr/bin/python3.11",
            b"55d0c1000000-55d0c3000000 rw-p 00000000 00:00 0 [heap]",
            b"7f1200000000-7f1220000000 rw-p 00000000 00:00 0 ",
            b"7f1240000000-7f1248000000 rw-p 00000000 00:00 0 [anon:glibc: malloc arena]",
            b"7f1260000000-7f1260200000 rw-s 00000000 00:01 77 /memfd:ring (deleted)",
            b"7f1280000000-7f1280180000 r-xp 00000000 fe:01 99 /usr/lib/x86_64-linux-gnu/libc.so.6",
            b"7ffd00000000-7ffd00022000 rw-p 00000000 00:00 0 [stack]",
            b"7ffd00100000-7ffd00102000 r-xp 00000000 00:00 0 [vdso]",
        )
    )
)
_PRESENT = np.array([64, 32, 6000, 90000, 12000, 512, 300, 34, 2], np.int64)
_RATE = np.array([0, 0, 180, 2400, 60, 0, 0, 3, 0], np.int64)  # pages a tick


MEMORY = EngineReport(
    Engine.MEMORY,
    "",
    "memory and registers, not restorable",
    "never stops the target",
    "stops the target while what is pending is copied",
    is_restorable=False,
)
CRIU = EngineReport(
    Engine.CRIU,
    "4.1.1",
    "all of the target, restorable",
    "stops the target while its pages are listed, and runs code in it",
    "stops the target for the whole copy, and runs code in it",
    is_restorable=True,
)


_PLAN = Plan(
    (
        LinkForecast(
            LinkKind.DUMP,
            Estimate(23000, 24576, 26000),
            Estimate(0.06, 0.08, 0.1),
            Estimate(0.03, 0.04, 0.06),
        ),
    )
)
ADVICE = Advice(Forecast(1000.0, 0.1, (_PLAN,), verdict=Verdict.DUMP_NOW), Rhythm(), Truth())
"""A dump of 96 MiB that stops the target for 40 ms."""


class ScriptedTracking:
    """A target whose memory is written at a steady pace."""

    def __init__(self, machine: ScriptedMachine, pid: int, tracker: TrackerKind) -> None:
        self.root = Identity(pid, 5000 + pid)
        self.tracker = tracker
        both = (RateMode.CUMULATIVE, RateMode.REARMING)
        self.modes = both if tracker is TrackerKind.SOFT_DIRTY else (RateMode.REARMING,)
        self.mode = self.modes[0]
        self.is_armed = False
        self.is_alive = True
        self.is_closed = False
        self.is_lent = False
        self.calls: list[str] = []
        self.refuses: DirtytopError | None = None
        self.breaks: Exception | None = None
        self.events: list[Event] = []
        self.ticks = 0
        self._machine = machine

    def arm(self, *, even_if_lent: bool = False) -> None:
        """Begin to count."""
        self.calls.append("arm anyway" if even_if_lent else "arm")
        if self.is_lent and not even_if_lent:
            raise EpochLent("the bits are CRIU's")
        if self.refuses is not None:
            raise self.refuses
        self.is_armed = True
        self.ticks = 0

    def set_mode(self, mode: RateMode) -> None:
        """Take the mode."""
        self.calls.append(mode.value)
        self.mode = mode

    def paced_s(self, asked_s: float, within_s: float = math.inf) -> float:
        """Nothing costs it anything."""
        return asked_s

    def tick(self) -> Sample:
        """The next sample, once the test lets targets tick."""
        self._machine.ticking.wait()
        if self.breaks is not None:
            raise self.breaks
        sample = self.sample(self.ticks)
        self.ticks += 1
        self.events.clear()
        return sample

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True

    def sample(self, number: int) -> Sample:
        """What tick `number` finds: the same for the same number."""
        written = _RATE * (1 + number % 3) if self.is_armed else np.zeros_like(_RATE)
        since = np.minimum(_PRESENT, _RATE * (2 * number + 1)) if self.is_armed else np.zeros_like(_RATE)
        pending = _PRESENT if not self._machine.links else np.minimum(_PRESENT, _RATE * 2)
        totals = Totals(
            int(_PRESENT.sum()),
            int(written.sum()),
            int(since.sum()),
            int(pending.sum()),
            float(written.sum()),
        )
        process = ProcessSample(
            pid=self.root.pid,
            parent_pid=1,
            command=self._machine.commands.get(self.root.pid, "postgres"),
            maps=MAPS,
            present_pages=_PRESENT,
            written_pages=written,
            since_armed_pages=since,
            pending_pages=pending,
            last_write_s=np.where(_RATE > 0, 0.0, math.nan),
            totals=totals,
        )
        return Sample(
            number=number,
            time_s=1000.0 + number,
            elapsed_s=float(number),
            interval_s=1.0,
            tracker=self.tracker,
            mode=self.mode,
            processes=(process,) if self.is_alive else (),
            totals=totals if self.is_alive else Totals(),
            tick_ms=3.2,
            stopped_us=0,
            cost_fraction=0.004,
            page_bytes=PAGE_BYTES,
            events=tuple(self.events),
        )


WRITERS = Writers(
    {
        By.FUNCTION: (
            Row(9000, "cache::Shard::fill(unsigned long, Entry const&)", "postgres"),
            Row(700, "__memcpy_avx512_unaligned_erms", "libc.so.6"),
            Row(3, "postgres+0x41f0", "postgres"),
        ),
        By.THREAD: (Row(9703, "worker", "thread 41 of process 40"),),
    },
    seconds=3.0,
    written_pages=9710,
    unattributed_pages=7,
    lost_faults=0,
    one_in=1,
    cpu=0.004,
)


class ScriptedWriters:
    """Finds out the same with every tick."""

    def __init__(self) -> None:
        self.is_closed = False

    def observe(self, sample: Sample) -> Writers:
        """What is known."""
        return WRITERS

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


class ScriptedChain:
    """Makes links of the size the target's pending memory has, without writing any."""

    def __init__(self, machine: ScriptedMachine, target: ScriptedTracking, order: ChainOrder) -> None:
        self.order = order
        self.engine = order.engine or Engine.MEMORY
        self.directory = order.directory
        self.links: tuple[LinkResult, ...] = ()
        self.why_full = ""
        self.freeze_timeout_s = 10.0
        self.is_closed = False
        self.is_ended = False
        self._machine = machine
        self._target = target
        self._count = 0

    @property
    def next_path(self) -> Path:
        """Where the next link will be."""
        return self.directory / str(self._count + 1)

    def pre_dump(self, progress: Progress = ..., cancelled: Cancelled = ...) -> LinkResult:  # type: ignore[assignment]
        """A link of memory."""
        return self._link(LinkKind.PRE_DUMP, progress, cancelled)

    def dump(
        self,
        after: After = After.RUN,
        progress: Progress = ...,  # type: ignore[assignment]
        cancelled: Cancelled = ...,  # type: ignore[assignment]
    ) -> LinkResult:
        """The last link."""
        self._machine.afters.append(after)
        result = self._link(LinkKind.DUMP, progress, cancelled)
        self.is_ended = True
        if after is After.KILL:
            self._target.is_alive = False
        return result

    def close(self) -> None:
        """No more links: the epoch is given back."""
        self.is_closed = True
        self._target.is_lent = False

    def _link(self, kind: LinkKind, progress: Progress, cancelled: Cancelled) -> LinkResult:
        machine = self._machine
        progress(LinkProgress("copying", 40 << 20, 120 << 20))
        while not machine.linking.wait(0.005):
            if cancelled():
                raise CancelledError("cancelled: nothing was written")
        if machine.link_error is not None:
            if self.engine is Engine.CRIU:
                self.why_full = f"{kind.value} {self._count + 1} was begun and not completed"
            raise machine.link_error
        self._count += 1
        pages = 5286 if self._count > 1 and not self.why_full else int(_PRESENT.sum())
        self._target.is_lent = self.engine is Engine.CRIU and kind is LinkKind.PRE_DUMP
        self.why_full = ""
        result = LinkResult(
            number=self._count,
            kind=kind,
            path=self.directory / str(self._count),
            engine=self.engine,
            pages_written=pages,
            pages_in_parent=int(_PRESENT.sum()) - pages,
            size_bytes=pages * PAGE_BYTES,
            stopped_us=0 if kind is LinkKind.PRE_DUMP else 8200,
            copy_s=0.21,
            sync_s=0.12,
            seconds=0.35,
            restorable=self.engine is Engine.CRIU and kind is LinkKind.DUMP,
            not_held=("files, sockets and pipes",)
            if kind is LinkKind.DUMP and self.engine is Engine.MEMORY
            else (),
        )
        self.links = (*self.links, result)
        machine.links.append(result)
        return result


class ScriptedMachine:
    """The backend: what there is to watch, and how it behaves."""

    def __init__(self) -> None:
        self.ticking = threading.Event()
        self.ticking.set()
        self.linking = threading.Event()
        """Links wait for it while it is clear, and can be cancelled meanwhile."""
        self.linking.set()
        self.link_error: DirtytopError | None = None
        self.chain_error: DirtytopError | None = None
        self.open_errors: dict[int, DirtytopError] = {}
        self.commands: dict[int, str] = {}
        self.tracker = TrackerKind.WRITE_PROTECT
        self.opened: dict[int, ScriptedTracking] = {}
        self.chains: list[ScriptedChain] = []
        self.links: list[LinkResult] = []
        self.afters: list[After] = []
        self.reports: tuple[EngineReport, ...] = (MEMORY, CRIU)
        self.earlier: EarlierChain | None = None
        self.log: Path | None = None
        self.calibrated: list[ChainOrder] = []
        self.areas_error: DirtytopError | None = None
        self.calibration_error: DirtytopError | None = None
        self.rows: tuple[ProcessRow, ...] = PROCESSES
        self.writers: list[ScriptedWriters] = []
        self.writers_error: DirtytopError | None = None

    def open_target(
        self, pid: int, tracker: TrackerKind | None, budget: CostBudget = DEFAULT_BUDGET
    ) -> ScriptedTracking:
        """Take a target, or say why not."""
        if pid in self.open_errors:
            raise self.open_errors[pid]
        target = ScriptedTracking(self, pid, tracker or self.tracker)
        self.opened[pid] = target
        return target

    def engines(self) -> tuple[Engine, ...]:
        """Those that the test has reports of."""
        return tuple(report.engine for report in self.reports)

    def examine_engines(self, target: Any) -> tuple[EngineReport, ...]:
        """What the test says."""
        return self.reports

    def examine_chain(self, target: Any, directory: Path) -> EarlierChain | None:
        """What the test says."""
        return self.earlier

    def find_log(self, link: Path, since_s: float = 0.0) -> Path | None:
        """What the test says."""
        return self.log

    def open_chain(self, target: Any, order: ChainOrder) -> ScriptedChain:
        """Begin a chain, or say why not."""
        if self.chain_error is not None:
            raise self.chain_error
        assert isinstance(target, ScriptedTracking)
        self.links.clear()
        chain = ScriptedChain(self, target, order)
        self.chains.append(chain)
        return chain

    def read_areas(self, link: Path, maps: Mapping[int, Maps]) -> tuple[Area, ...]:
        """As if what is written most was saved, and the rest left to the parent."""
        if self.areas_error is not None:
            raise self.areas_error
        areas = []
        for pid, of_pid in maps.items():
            for vma, there, new in zip(of_pid.vmas, _PRESENT.tolist(), (2 * _RATE).tolist(), strict=True):
                written = there if link.name == "1" else new
                areas.append(Area(pid, vma.start, vma.end, vma.perms, vma.name, written, there - written))
        return tuple(areas)

    def calibrate(self, target: Any, advisor: Advisor, order: ChainOrder, cancelled: Cancelled) -> None:
        """Remember it; nothing is measured, so nothing is foreseen."""
        if self.calibration_error is not None:
            raise self.calibration_error
        self.calibrated.append(replace(order, engine=order.engine or Engine.MEMORY))

    def watch_writers(self, target: Any) -> ScriptedWriters:
        """Begin to find out the same as ever, or say why not."""
        if self.writers_error is not None:
            raise self.writers_error
        self.writers.append(ScriptedWriters())
        return self.writers[-1]

    def list_processes(self) -> tuple[ProcessRow, ...]:
        """The same every time."""
        return self.rows

    def clear(self, pid: int) -> None:
        """Have another program clear a target's soft-dirty bits."""
        self.opened[pid].events.append(Event(EventKind.FOREIGN_CLEAR, pid, "somebody cleared"))
        for chain in self.chains:
            chain.why_full = CLEARED

    def exit(self, pid: int) -> None:
        """Have a target exit."""
        self.opened[pid].is_alive = False

    def release(self) -> None:
        """Let every thread go on, so that it can end."""
        self.ticking.set()
        self.linking.set()


def process_row(pid: int, parent: int, command: str, *, rss_mib: int = 10, why_not: str = "") -> ProcessRow:
    """A row of the process list."""
    return ProcessRow(pid, 5000 + pid, parent, "root", rss_mib << 20, 0.5, command, 1, why_not)


PROCESSES = (
    process_row(1, 0, "/sbin/init", rss_mib=12),
    process_row(2, 0, "[kthreadd]", rss_mib=0, why_not="kernel thread"),
    process_row(40, 1, "/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main", rss_mib=420),
    process_row(41, 40, "postgres: checkpointer", rss_mib=64),
    process_row(42, 40, "postgres: walwriter", rss_mib=31),
    process_row(60, 1, "/usr/bin/python3 train.py --epochs 40", rss_mib=2900),
    process_row(77, 1, "gdb -p 60", rss_mib=80, why_not="traced by pid 99 (strace)"),
)


class FrozenClock:
    """Time stands still."""

    def monotonic(self) -> float:
        """Always the same."""
        return 2000.0

    def time_of_day(self) -> str:
        """Always the same."""
        return "12:34:56"

    def local_time(self) -> datetime:
        """Always the same."""
        return datetime(2025, 1, 31, 12, 34, 56)

    def stamp(self) -> str:
        """Always the same."""
        return "20250131-123456"
