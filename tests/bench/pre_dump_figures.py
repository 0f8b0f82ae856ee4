"""How long pre-dumps stop their target: ours by soft-dirty bits, against CRIU's of the same target."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.memory import MemoryChain
from engine.errors import DirtytopError
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.bench.figure import Figure
from tests.bench.rewriting import rewriting_target
from tests.criu.outliving import Outliving
from tests.known import known

_TARGET_BYTES = 256 << 20
_WRITTEN_BYTES = 16 << 20
_RUNS = 5


def measure() -> Iterator[Figure]:
    """Every figure; none where CRIU cannot track memory."""
    try:
        criu = examine_criu()
        criu.require_memory_tracking()
    except DirtytopError as error:
        print(f"pre-dumps: {error.message}")
        return
    with tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as name:
        directory = Path(name)
        with rewriting_target(directory, _TARGET_BYTES, _WRITTEN_BYTES) as target:
            pairs = [_side_by_side(target, criu, directory / "chain") for _ in range(_RUNS)]
    parts = (
        ("the first", slice(0, 1)),
        ("after 16 MiB were written", slice(1, 2)),
        ("both together", slice(0, 2)),
    )
    for what, links in parts:
        stops = [(sum(ours[links]) / 1e3, sum(theirs[links]) / 1e3) for ours, theirs in pairs]
        yield Figure(
            f"pre-dump of 256 MiB, {what}: time stopped, ours by soft-dirty against CRIU {criu.version_text}",
            statistics.median(ours / theirs for ours, theirs in stops),
            "×", 0.2, "lower", _RUNS,
            f"{statistics.median(ours for ours, _ in stops):.1f} ms, "
            f"{statistics.median(theirs for _, theirs in stops):.1f} ms",
        )  # fmt: skip


def _side_by_side(target: Outliving, criu: Criu, directory: Path) -> tuple[list[int], list[int]]:
    """Microseconds stopped, in our pre-dumps and in CRIU's: of all memory, and of what was then written."""
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
        ours = _stops(target, MemoryChain(session, directory))
    shutil.rmtree(directory)
    with Session(target.pid, TrackerKind.SOFT_DIRTY) as session:
        theirs = _stops(target, CriuChain(session, directory, criu=criu))
    shutil.rmtree(directory)
    return ours, theirs


def _stops(target: Outliving, chain: MemoryChain | CriuChain) -> list[int]:
    first = chain.pre_dump()
    target.ask()
    second = chain.pre_dump()
    return [known(first.stopped_us), known(second.stopped_us)]
