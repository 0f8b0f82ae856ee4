"""Answers of `dirtytop forecast` to other questions: what a fork needs, and how often to dump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from engine.errors import NotSupported
from engine.forecast.advisor import Advisor
from engine.forecast.estimate import Estimate
from engine.forecast.plans.snapshot import DumpInterval, ForkSnapshot
from engine.kernel.memory_room import room_bytes
from engine.pageset import PAGE_SIZE
from engine.units import format_duration, format_percent, say_bytes, say_duration

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """For people, and for programs."""

    text: str
    as_json: dict[str, Any]


def fork_answer(pid: int, advisor: Advisor, span_s: float) -> Answer:
    """What a snapshot by fork of this target needs that takes so long. Errors as of `_known`."""
    pages = _known(advisor.pages_within(span_s), pid)
    copied = Estimate(pages.low * PAGE_SIZE, pages.mid * PAGE_SIZE, pages.high * PAGE_SIZE)
    found = ForkSnapshot(span_s, copied, room_bytes(pid))
    fits = "" if found.fits else ": that may be too little"
    text = (
        f"a fork snapshot of {say_duration(span_s)} will copy {say_bytes(copied.mid)} "
        f"({say_bytes(copied.low)} to {say_bytes(copied.high)}); {say_bytes(found.free_bytes)} are free{fits}"
    )
    said = {
        "fork_s": span_s,
        "copied_bytes": {name: round(getattr(copied, name)) for name in ("low", "mid", "high")},
        "free_bytes": found.free_bytes,
        "fits": found.fits,
    }
    return Answer(text, said)


def interval_answer(pid: int, advisor: Advisor, mtbf_s: float) -> Answer:
    """How often to dump this target if it fails so often on average. Errors as of `_known`."""
    found: DumpInterval = _known(advisor.best_interval(mtbf_s), pid)
    text = (
        f"dump every {format_duration(found.every_s)}: each dump stops the target for "
        f"{say_duration(found.stopped_s.mid)}, and {format_percent(found.lost_fraction)} of the time is lost "
        f"({format_percent(found.stopped_fraction)} to stops, "
        f"{format_percent(found.redone_fraction)} to work that is done again after a failure)"
    )
    said = {
        "mtbf_s": mtbf_s,
        "every_s": round(found.every_s, 3),
        "stop_s": {name: getattr(found.stopped_s, name) for name in ("low", "mid", "high")},
        "stopped_fraction": found.stopped_fraction,
        "redone_fraction": found.redone_fraction,
    }
    return Answer(text, said)


def _known(found: _Found | None, pid: int) -> _Found:
    """What was found. Raises NotSupported: nothing is known of the target yet."""
    if found is None:
        raise NotSupported(
            f"process {pid} has not been looked at for long enough", pid=pid, hint="look longer: `--watch 10`"
        )
    return found
