"""Frozen data for widgets, and a stage to put one on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from textual.app import App, ComposeResult
from textual.widget import Widget

from engine.kernel.maps import Maps, parse_line
from engine.tracking.sample import ProcessSample, RateMode, Sample, Totals, TrackerKind

_LINES = """\
55d0c1a00000-55d0c1a52000 r--p 00000000 fd:00 1001 /usr/lib/postgresql/16/bin/postgres
55d0c1a52000-55d0c2180000 r-xp 00052000 fd:00 1001 /usr/lib/postgresql/16/bin/postgres
55d0c2180000-55d0c2290000 rw-p 00780000 fd:00 1001 /usr/lib/postgresql/16/bin/postgres
55d0c3f10000-55d0c8b10000 rw-p 00000000 00:00 0 [heap]
7f1a00000000-7f1a0c000000 rw-p 00000000 00:00 0
7f1a0c000000-7f1a10000000 ---p 00000000 00:00 0
7f1a20000000-7f3a20000000 rw-p 00000000 00:00 0 [anon:glibc: malloc]
7f3b00000000-7f3b20000000 rw-s 00000000 00:01 2048 /dev/shm/PostgreSQL.1804289383
7f3b40000000-7f3b42000000 rw-s 00000000 00:01 77 /memfd:wayland-buffer (deleted)
7f3c11000000-7f3c11180000 r-xp 00000000 fd:00 2002 /usr/lib/x86_64-linux-gnu/libc.so.6
7f3c11200000-7f3c11201000 r--s 00000000 fd:00 9 /var/cache/日本語/ファイル.mo
7f3c11300000-7f3c11301000 rw-p 00000000 fd:00 10 /tmp/[bold red]x[/foo]\x1b]0;PWNED\x07[@click=app.quit]y
7ffd3c1e0000-7ffd3c202000 rw-p 00000000 00:00 0 [stack]
7ffd3c3b5000-7ffd3c3b7000 r-xp 00000000 00:00 0 [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]"""


def maps_of(text: str) -> Maps:
    """Of lines of `maps`, without the space that the kernel writes where a name would follow."""
    lines = (line if line.count(" ") > 4 else f"{line} " for line in text.split("\n"))
    return Maps.of(tuple(parse_line(line.encode()) for line in lines))


MAPS = maps_of(_LINES)
"""Of a database, with names in other scripts and hostile ones."""


@dataclass(frozen=True)
class Process:
    """One row of a process list."""

    pid: int
    parent_pid: int = 1
    command: str = "sleep 1000"
    rss_bytes: int = 1 << 20
    cpu_percent: float = 0.0
    user: str = "alice"
    threads: int = 1
    untrackable: str = ""
    start_ticks: int = 100


class Stage(App[None]):
    """One widget, alone; keeps every message of the kinds it is asked to keep."""

    CSS = "Screen { layout: vertical; overflow: hidden; }"

    def __init__(self, *widgets: Widget) -> None:
        super().__init__()
        self._widgets = widgets
        self.animation_level = "none"

    def compose(self) -> ComposeResult:
        yield from self._widgets


def sample_of(*processes: tuple[Maps, list[int]], number: int = 1, interval_s: float = 1.0) -> Sample:
    """Of `(maps, written pages of each VMA)` pairs, one for each process."""
    made = tuple(
        process_sample(4242 + place, maps, written, interval_s)
        for place, (maps, written) in enumerate(processes)
    )
    fields = ("present_pages", "written_pages", "since_armed_pages", "pending_pages", "pages_per_s")
    totals = Totals(*(sum(getattr(each.totals, field) for each in made) for field in fields))
    return Sample(
        number, 1000.0 + number, float(number), interval_s, TrackerKind.WRITE_PROTECT,
        RateMode.REARMING, made, totals, 3.2, 180, 0.012, 4096,
    )  # fmt: skip


def process_sample(pid: int, maps: Maps, written: list[int], interval_s: float) -> ProcessSample:
    counts = np.array(written, np.int64)
    present = np.minimum(maps.ends - maps.starts, 200_000)
    armed = np.minimum(present, counts * 3)
    pending = np.minimum(present, counts * 5)
    age = np.where(counts > 0, 0.4, math.nan)
    rate = float(counts.sum()) / interval_s if interval_s else 0.0
    totals = Totals(int(present.sum()), int(counts.sum()), int(armed.sum()), int(pending.sum()), rate)
    return ProcessSample(pid, 1, "postgres", maps, present, counts, armed, pending, age, totals)
