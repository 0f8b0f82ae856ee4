"""What a core costs its target, by `dirtytop core` and by gcore: side by side, of the same process."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.figure import Figure
from tests.targets.compiled import CompiledTarget

_RUNS = 5
_CASES = ((1024, 64, 1 / 15), (4096, 64, 1 / 50), (4096, 16, 1 / 100))
"""MiB in all, MiB that are rewritten every 20 ms, and what part of gcore's stop ours may be."""


class _Cost(NamedTuple):
    """Of one core."""

    stop_ms: float
    """As the target saw it."""
    whole_s: float


def measure() -> Iterator[Figure]:
    """Every figure of cores; none where there is no gdb."""
    gcore = shutil.which("gcore")
    if gcore is None:
        print("core: no gdb")
        return
    for size_mib, hot_mib, reach in _CASES:
        with tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as name:
            yield from _side_by_side(Path(name), gcore, size_mib, hot_mib, reach)


def _side_by_side(directory: Path, gcore: str, size_mib: int, hot_mib: int, reach: float) -> Iterator[Figure]:
    with CompiledTarget("pausing", str(size_mib), str(hot_mib)) as target:

        def theirs() -> None:
            _run(gcore, "-o", directory / "core", target.pid)

        def ours() -> None:
            _run(sys.executable, "-m", "tui.cli", "core", target.pid, directory / "core")

        pairs = [(_cost(target, directory, theirs), _cost(target, directory, ours)) for _ in range(_RUNS)]
    stops = [(one.stop_ms, other.stop_ms) for one, other in pairs]
    wholes = [(one.whole_s, other.whole_s) for one, other in pairs]
    what = f"core of {size_mib >> 10} GiB, {hot_mib} MiB hot"
    yield _ratio(f"{what}: longest stop, against gcore", stops, reach, "ms")
    yield _ratio(f"{what}: whole time, against gcore", wholes, 2, "s")


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def _cost(target: CompiledTarget, directory: Path, work: Callable[[], None]) -> _Cost:
    target.ask()
    since = time.perf_counter()
    work()
    whole_s = time.perf_counter() - since
    stop_ms = int(target.ask()) / 1e3
    for left in directory.iterdir():
        left.unlink()
    return _Cost(stop_ms, whole_s)


def _ratio(name: str, pairs: list[tuple[float, float]], reach: float, unit: str) -> Figure:
    theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(
        name,
        ours / theirs,
        "×",
        round(reach, 4),
        "lower",
        len(pairs),
        f"{ours:.1f} {unit}, {theirs:.1f} {unit}",
    )
