"""The steps of a link come in one order, and what was not seen of them is not known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.checkpoint.chain_record import NextLink
from engine.checkpoint.link import Engine, LinkResult, LinkTimes
from engine.checkpoint.link_clock import LinkClock, OutOfOrder, Saved, Step
from engine.images.layout import LinkKind

_LINK: Final = NextLink(3, LinkKind.DUMP, Path("/chain/3"), Engine.MEMORY, None, ())
_SAVED: Final = Saved(pages_written=5, pages_in_parent=2, size_bytes=20480, sync_s=0.5, stopped_us=7)


class Doubling:
    """Reads 1 s at first, and twice as much each time: every difference tells what it is between."""

    def __init__(self) -> None:
        self._readings: Iterator[float] = (2.0**number for number in range(20))

    def __call__(self) -> float:
        return next(self._readings)


def clock_at(*steps: Step) -> LinkClock:
    clock = LinkClock(Doubling())
    for step in steps:
        clock.note(step)
    return clock


def result_of(clock: LinkClock) -> LinkResult:
    return clock.done(_LINK, _SAVED, restorable=False, read_s=0.25)


def test_each_time_is_from_one_step_to_another() -> None:
    result = result_of(clock_at(Step.LOOKED, Step.FROZEN, Step.COPYING, Step.THAWED, Step.COPIED))
    assert result.times == LinkTimes(lead_s=2 - 1, collect_s=8 - 2, read_s=0.25)
    assert result.copy_s == 32 - 8
    assert result.seconds == 64 - 1


def test_of_steps_that_were_not_seen_nothing_is_known() -> None:
    result = result_of(clock_at())
    assert result.times == LinkTimes(lead_s=None, collect_s=None, read_s=0.25)
    assert result.copy_s is None
    assert result.seconds == 2 - 1


def test_an_engine_that_measures_its_copying_is_believed() -> None:
    clock = clock_at(Step.LOOKED, Step.COPYING, Step.COPIED)
    saved = Saved(
        pages_written=1, pages_in_parent=0, size_bytes=4096, sync_s=0.0, stopped_us=None, copy_s=0.0
    )
    result = clock.done(_LINK, saved, restorable=True)
    assert (result.copy_s, result.stopped_us) == (0.0, None)


def test_a_time_that_has_not_ended_is_told_as_of_now() -> None:
    clock = clock_at(Step.LOOKED, Step.FROZEN, Step.COPYING)
    assert clock.frozen_s == 16 - 4
    assert clock.copy_s == 32 - 8
    clock.note(Step.THAWED)
    assert clock.frozen_s == clock.frozen_s == 64 - 4


def test_a_target_is_frozen_from_the_look_on_where_nobody_told_when_all_of_it_was() -> None:
    assert clock_at(Step.LOOKED, Step.COPYING, Step.THAWED).frozen_s == 8 - 2


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ((), Step.ORDERED),
        ((), Step.FROZEN),
        ((), Step.COPYING),
        ((), Step.THAWED),
        ((Step.LOOKED,), Step.LOOKED),
        ((Step.LOOKED,), Step.COPIED),
        ((Step.LOOKED, Step.COPYING), Step.FROZEN),
        ((Step.LOOKED, Step.FROZEN, Step.THAWED), Step.COPYING),
        ((Step.DONE,), Step.LOOKED),
        ((Step.DONE,), Step.DONE),
    ],
)
def test_a_step_that_cannot_come_now_is_an_error_and_changes_nothing(
    steps: tuple[Step, ...], wrong: Step
) -> None:
    clock = clock_at(*steps)
    before = [clock.has(step) for step in Step]
    with pytest.raises(OutOfOrder, match=wrong.name):
        clock.note(wrong)
    assert [clock.has(step) for step in Step] == before


def test_a_link_is_not_done_while_its_target_is_frozen() -> None:
    clock = clock_at(Step.LOOKED, Step.FROZEN, Step.COPYING, Step.COPIED)
    with pytest.raises(OutOfOrder, match="still frozen"):
        result_of(clock)
    clock.note(Step.THAWED)
    assert result_of(clock).number == 3


def test_a_link_has_one_result() -> None:
    clock = clock_at(Step.LOOKED, Step.COPYING, Step.COPIED)
    result_of(clock)
    with pytest.raises(OutOfOrder):
        result_of(clock)
