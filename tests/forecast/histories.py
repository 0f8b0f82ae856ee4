"""Histories made by hand: ticks with given rates, curves with given points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from engine.checkpoint.link import Engine, LinkResult
from engine.forecast.costs.line import CostLine
from engine.forecast.costs.model import CostModel
from engine.forecast.writes.look import Look
from engine.images.layout import LinkKind
from engine.tracking.curve import NO_CURVE, CurveKind, WorkingSetCurve

MIB = 1 << 20
SOMEWHERE = Path("chain/1")


def curve(points: dict[float, int], kind: CurveKind = CurveKind.RECENT) -> WorkingSetCurve:
    return WorkingSetCurve(kind, np.array(list(points), float), np.array(list(points.values()), np.int64))


def look(
    time_s: float,
    written: int = 0,
    interval_s: float = 1.0,
    *,
    of: WorkingSetCurve = NO_CURVE,
    present: int = 100_000,
    pending: int | None = None,
) -> Look:
    return Look(time_s, interval_s, written, present, present if pending is None else pending, of)


def rates(values: Iterable[float], interval_s: float = 1.0) -> list[Look]:
    """A tick each, with so many pages a second."""
    return [
        look((at + 1) * interval_s, round(rate * interval_s), interval_s) for at, rate in enumerate(values)
    ]


def costs(
    *, disk_mib_per_s: float = 1000, copy_mib_per_s: float = 4000, stop_s: float = 0.002, link_s: float = 0.01
) -> CostModel:
    return CostModel(
        Engine.MEMORY,
        pre_dump=CostLine.of(link_s, 1 / (disk_mib_per_s * MIB)),
        pre_dump_stop=CostLine.of(0.0, 0.0),
        dump=CostLine.of(link_s, 1 / (disk_mib_per_s * MIB)),
        dump_stop=CostLine.of(stop_s, 1 / (copy_mib_per_s * MIB)),
        dump_lead=CostLine.of(0.0, 0.0),
    )


def link(
    kind: LinkKind, size_bytes: int, seconds: float, stopped_s: float = 0.0, engine: Engine = Engine.MEMORY
) -> LinkResult:
    return LinkResult(
        number=1,
        kind=kind,
        path=SOMEWHERE,
        engine=engine,
        pages_written=size_bytes // 4096,
        pages_in_parent=0,
        size_bytes=size_bytes,
        stopped_us=round(stopped_s * 1e6),
        copy_s=seconds / 2,
        sync_s=seconds / 4,
        seconds=seconds,
        restorable=False,
    )
