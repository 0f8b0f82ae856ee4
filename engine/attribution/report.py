"""The tally in rows, by function, line, thread, mapping or chain; and as flame graph viewers read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from engine.attribution.symbols import Frame
from engine.attribution.tally import Tally, Writer
from engine.attribution.watcher import WriterWatch

_SPEEDSCOPE: Final = "https://www.speedscope.app/file-format-schema.json"
_NO_CODE: Final = Frame("no code of its own", "", is_named=False)
_MOST_ROWS: Final = 500
_PYTHON_LOOP: Final = "_PyEval_EvalFrameDefault"


class By(Enum):
    """What rows stand for."""

    FUNCTION = "function"
    LINE = "line"
    THREAD = "thread"
    MAPPING = "mapping"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Row:
    """Pages that go together; all text is printable."""

    pages: int
    name: str
    where: str = ""
    """What tells it from others of that name: the file of a function, the process of a thread."""


@dataclass(frozen=True, slots=True)
class Writers:
    """All that is to be said of who writes, as of one tick. Immutable: it may be handed to any thread."""

    tables: Mapping[By, tuple[Row, ...]]
    """Most pages first; at most `_MOST_ROWS` rows each."""
    seconds: float
    """How long it has been looked."""
    written_pages: int
    unattributed_pages: int
    lost_faults: int
    one_in: int
    """One of so many faults was looked at; over 1 all figures are estimates."""
    cpu: float
    """Share of a core, of ours, in the last tick."""
    hint: str = ""


def writers_of(watch: WriterWatch) -> Writers:
    """What is known now."""
    tally, cost = watch.tally, watch.cost
    return Writers(
        {by: tuple(rows(watch, by)[:_MOST_ROWS]) for by in By},
        tally.seconds,
        tally.written_pages,
        tally.unattributed_pages,
        tally.lost_faults,
        cost.period,
        cost.cpu,
        hint(watch),
    )


def rows(watch: WriterWatch, by: By) -> list[Row]:
    """Who wrote, most pages first."""
    counted: Counter[tuple[str, str]] = Counter()
    for writer, pages in watch.tally:
        counted[_key(watch, writer, by)] += pages
    return [Row(pages, name, where) for (name, where), pages in counted.most_common()]


def _key(watch: WriterWatch, writer: Writer, by: By) -> tuple[str, str]:
    match by:
        case By.FUNCTION:
            leaf = leaf_of(watch, writer)
            return leaf.function, leaf.module
        case By.LINE:
            leaf = leaf_of(watch, writer)
            return leaf.place, leaf.function if leaf.source else leaf.module
        case By.THREAD:
            return watch.thread_name(writer.pid, writer.tid), f"thread {writer.tid} of process {writer.pid}"
        case By.MAPPING:
            start, name = writer.vma
            return name, f"0x{start:x} of process {writer.pid}"
        case By.CHAIN:
            return " < ".join(frame.function for frame in watch.frames(writer.chain)) or _NO_CODE.function, ""


def leaf_of(watch: WriterWatch, writer: Writer) -> Frame:
    """The instruction that wrote, or that called the kernel which did."""
    return next(iter(watch.frames(writer.chain)), _NO_CODE)


def hint(watch: WriterWatch) -> str:
    """What would show more, in one sentence; empty if nothing would."""
    unnamed = interpreted = 0
    for writer, pages in watch.tally:
        frames = watch.frames(writer.chain)
        interpreted += pages * any(frame.function == _PYTHON_LOOP for frame in frames)
        unnamed += pages * bool(frames and not frames[0].is_named)
    all_pages = max(1, watch.tally.attributed_pages)
    if interpreted * 2 > all_pages:
        return (
            "the target is CPython: started with `-X perf` (3.12, built with frame pointers), it tells the "
            "names of Python functions"
        )
    if unnamed * 2 > all_pages:
        return (
            "most of the code has no names: debug symbols of it would tell them; compiled at run time, "
            "`node --perf-basic-prof` or a Java agent writes them to /tmp/perf-PID.map"
        )
    return ""


def folded(watch: WriterWatch) -> Iterator[str]:
    """Lines of flamegraph.pl: thread and frames, the outermost first, and how many pages."""
    stacks: Counter[str] = Counter()
    for writer, pages in watch.tally:
        stacks[";".join(_plain(word) for word in _stack(watch, writer))] += pages
    for stack, pages in stacks.most_common():
        yield f"{stack} {pages}"


def _plain(word: str) -> str:
    return word.replace(";", ",").replace("\n", " ")


def _stack(watch: WriterWatch, writer: Writer) -> list[str]:
    frames = watch.frames(writer.chain) or (_NO_CODE,)
    return [watch.thread_name(writer.pid, writer.tid), *(frame.function for frame in reversed(frames))]


def speedscope(watch: WriterWatch, name: str) -> dict[str, Any]:
    """The same for speedscope (its file format, version 0.0.1), with a profile for each thread."""
    numbers: dict[tuple[str, str, int], int] = {}
    frames: list[dict[str, Any]] = []

    def number(frame: Frame) -> int:
        key = frame.function, frame.source, frame.line
        if key not in numbers:
            numbers[key] = len(frames)
            told: dict[str, Any] = {"name": frame.function}
            if frame.source:
                told |= {"file": frame.source, "line": frame.line}
            frames.append(told)
        return numbers[key]

    profiles: dict[int, dict[str, Any]] = {}
    for writer, pages in watch.tally:
        title = f"{watch.thread_name(writer.pid, writer.tid)} ({writer.tid})"
        profile = profiles.setdefault(
            writer.tid,
            {"type": "sampled", "name": title, "unit": "none", "startValue": 0, "endValue": 0,
             "samples": [], "weights": []},
        )  # fmt: skip
        chain = watch.frames(writer.chain) or (_NO_CODE,)
        profile["samples"].append([number(frame) for frame in reversed(chain)])
        profile["weights"].append(pages)
        profile["endValue"] += pages
    return {
        "$schema": _SPEEDSCOPE,
        "name": name,
        "exporter": "dirtytop",
        "shared": {"frames": frames},
        "profiles": list(profiles.values()),
    }


def as_json(watch: WriterWatch, pid: int, by: By) -> dict[str, Any]:
    """The stable form printed by `dirtytop who --json`."""
    tally, cost = watch.tally, watch.cost
    return {
        "schema": 1,
        "pid": pid,
        "by": by.value,
        "seconds": round(tally.seconds, 6),
        "one_in": cost.period,
        "written_pages": tally.written_pages,
        "attributed_pages": tally.attributed_pages,
        "unattributed_pages": tally.unattributed_pages,
        "huge_page_pages": tally.huge_pages,
        "lost_faults": tally.lost_faults,
        "sees_kernel_writes": watch.sees_kernel,
        "cost": {"cpu": round(cost.cpu, 6), "target_us_per_page": round(cost.target_s_per_page * 1e6, 3)},
        "rows": [_row_as_json(row, tally) for row in rows(watch, by)],
    }


def _row_as_json(row: Row, tally: Tally) -> dict[str, Any]:
    return {
        "pages": row.pages,
        "share": round(row.pages / max(1, tally.written_pages), 6),
        "name": row.name,
        "where": row.where,
    }
