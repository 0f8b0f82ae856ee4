"""How often waits of a target with twenty threads end with EINTR, because of us."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.bench.figure import Figure
from tests.targets.compiled import CompiledTarget

_ARMINGS: Final = 300
_DUMPS: Final = 100
_TIMEOUTS_MS: Final = {"without end": (), "for ten seconds": ("10000",)}


def measure() -> Iterator[Figure]:
    """Every figure, by write-protection where there is that: soft-dirty bits are armed without a stop."""
    kind = TrackerKind.WRITE_PROTECT if probe().write_protect.works else TrackerKind.SOFT_DIRTY
    with tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as scratch:
        for how, arguments in _TIMEOUTS_MS.items():
            for what, work, runs in (
                ("armings", partial(_arm, kind), _ARMINGS),
                ("dumps", partial(_dump, kind, Path(scratch) / "chain"), _DUMPS),
            ):
                yield Figure(
                    name=f"EINTRs per 1,000 {what} of 20 threads that wait {how}",
                    value=_interruptions(work, runs, arguments) * 1000 / runs,
                    unit="",
                    reach=0,
                    better="lower",
                    runs=runs,
                    detail=kind.value,
                )


def _interruptions(work: Callable[[int], object], runs: int, arguments: tuple[str, ...]) -> int:
    with CompiledTarget("serving", *arguments) as target:
        for _ in range(runs):
            work(target.pid)
        return int(target.ask())


def _arm(kind: TrackerKind, pid: int) -> None:
    with Session(pid, kind) as session:
        session.arm()


def _dump(kind: TrackerKind, directory: Path, pid: int) -> None:
    with Session(pid, kind) as session:
        chain = open_chain(Engine.MEMORY, session, directory)
        chain.dump(After.RUN)
        chain.close()
    shutil.rmtree(directory)
