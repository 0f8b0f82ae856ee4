"""What a spliced dump costs its target, against a full dump of CRIU's: side by side, of the same target."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.link import After, LinkResult
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import DirtytopError
from engine.tracking.session import Session
from tests.bench.figure import Figure
from tests.bench.rewriting import rewriting_target
from tests.criu.outliving import Outliving
from tests.known import known

_GIB = 1 << 30
_WRITTEN_BYTES = 64 << 20
_RUNS = 5


def measure() -> Iterator[Figure]:
    """Every figure of the spliced engine; none where there is no CRIU that dumps."""
    try:
        criu = examine_criu()
        criu.require_dump()
    except DirtytopError as error:
        print(f"spliced: {error.message}")
        return
    with tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as name:
        directory = Path(name)
        with rewriting_target(directory, _GIB, _WRITTEN_BYTES) as target:
            pairs = [_side_by_side(target, criu, directory / "chain") for _ in range(_RUNS)]
    yield Figure(
        f"1 GiB, 64 MiB written: time stopped, spliced against `criu dump` {criu.version_text}",
        statistics.median(known(spliced.stopped_us) / known(full.stopped_us) for full, spliced in pairs),
        "×", 0.25, "lower", _RUNS,
        f"{_median(known(spliced.stopped_us) for _, spliced in pairs) / 1e3:.0f} ms, "
        f"{_median(known(full.stopped_us) for full, _ in pairs) / 1e3:.0f} ms",
    )  # fmt: skip
    yield Figure(
        "the same: bytes written in the last link",
        statistics.median(spliced.size_bytes / full.size_bytes for full, spliced in pairs),
        "×", 0.1, "lower", _RUNS,
        f"{_median(spliced.size_bytes for _, spliced in pairs) / (1 << 20):.0f} MiB, "
        f"{_median(full.size_bytes for full, _ in pairs) / (1 << 20):.0f} MiB",
    )  # fmt: skip


def _side_by_side(target: Outliving, criu: Criu, directory: Path) -> tuple[LinkResult, LinkResult]:
    """A full dump of CRIU's, and the last link of a spliced chain."""
    with Session(target.pid) as session:
        full = CriuChain(session, directory, criu=criu).dump(After.RUN)
        shutil.rmtree(directory)
        chain = SplicedChain(session, directory, criu=criu)
        chain.pre_dump()
        target.ask()
        spliced = chain.dump(After.RUN)
        shutil.rmtree(directory)
    return full, spliced


def _median(values: Iterable[int]) -> float:
    return statistics.median(values)
