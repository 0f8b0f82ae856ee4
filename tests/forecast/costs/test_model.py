"""What links cost: told by a probe, then by the parts of every link of the target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.checkpoint.copy_buffer import FIRST_BYTES, KEPT_BYTES
from engine.checkpoint.link import After, Engine, LinkResult, LinkTimes
from engine.forecast.costs.line import CostLine
from engine.forecast.costs.model import CostModel
from engine.forecast.costs.parts import Parts
from engine.images.layout import LinkKind
from tests.forecast.histories import MIB, link

READING_S_PER_MIB = 0.001
STOPPING_S = 0.004


def model(
    engine: Engine = Engine.MEMORY,
    processes: int = 1,
    touching_s_per_mib: float = 0.0,
    present_pages: int = 0,
) -> CostModel:
    def line(s_per_mib: float) -> CostLine:
        return CostLine.of(0.0, s_per_mib / MIB)

    # Mapping memory in is part of writing to the page cache, so that it is never dearer.
    parts = Parts(line(0.0002), line(touching_s_per_mib or 0.001), line(0.001), line(touching_s_per_mib))
    return CostModel.first_guess(
        engine, parts, tick_s=0.001, processes=processes, present_pages=present_pages
    )


def made(kind: LinkKind, mib: float, engine: Engine = Engine.MEMORY, lead_s: float = 0.01) -> LinkResult:
    """A link of a target whose memory is read at `READING_S_PER_MIB` and that takes so long to stop."""
    read_s = mib * READING_S_PER_MIB
    stopped_s = STOPPING_S + read_s if kind is LinkKind.DUMP else 0.0
    result = link(kind, round(mib * MIB), 0.05 + 3 * read_s, stopped_s, engine)
    return replace(result, copy_s=read_s, times=LinkTimes(lead_s, 0.003, read_s))


def after(costs: CostModel, *links: LinkResult) -> CostModel:
    for each in links:
        costs = costs.after(each)
    return costs


def test_a_dump_tells_how_fast_the_next_will_read_and_a_pre_dump_does_not() -> None:
    """It reads a target that runs."""

    def grows_s(costs: CostModel) -> float:
        return costs.stop(50 * MIB).mid - costs.stop(10 * MIB).mid

    pre_dumped = after(model(), *(made(LinkKind.PRE_DUMP, mib) for mib in (100, 10, 20, 5)))
    assert grows_s(pre_dumped) == pytest.approx(grows_s(model()))
    dumped = after(pre_dumped, made(LinkKind.DUMP, 30), made(LinkKind.DUMP, 30))
    assert grows_s(dumped) == pytest.approx(40 * READING_S_PER_MIB, rel=0.02)


def test_pre_dumps_tell_what_finding_written_pages_takes() -> None:
    slow = replace(made(LinkKind.PRE_DUMP, 10), times=LinkTimes(0.01, 0.3, 0.01))
    assert after(model(), slow, slow).stop(0).mid > 0.3


def test_one_pre_dump_that_had_to_wait_tells_nothing_of_stops() -> None:
    waited = replace(made(LinkKind.PRE_DUMP, 10), times=LinkTimes(0.01, 0.3, 0.01))
    assert model().after(waited).stop(0).mid == pytest.approx(model().stop(0).mid)


def test_dumps_of_one_size_tell_what_stopping_takes_for_dumps_of_any_size() -> None:
    pre_dumps = [made(LinkKind.PRE_DUMP, mib) for mib in (100, 10, 20)]
    costs = after(model(), *pre_dumps, made(LinkKind.DUMP, 10), made(LinkKind.DUMP, 10))
    for mib in (1, 10, 80):
        assert costs.stop(mib * MIB).mid == pytest.approx(STOPPING_S + mib * READING_S_PER_MIB, rel=0.03)


def test_one_disturbed_stop_does_not_count() -> None:
    pre_dump, dump = made(LinkKind.PRE_DUMP, 50), made(LinkKind.DUMP, 10)
    disturbed = replace(dump, stopped_us=900_000)
    costs = after(model(), pre_dump, dump, dump, disturbed, dump)
    assert costs.stop(10 * MIB).mid == pytest.approx(STOPPING_S + 10 * READING_S_PER_MIB, rel=0.03)


def test_a_tree_of_more_processes_takes_longer_to_stop() -> None:
    assert model(processes=8).stop(0).mid > model(processes=1).stop(0).mid


def test_a_spliced_dump_stops_longer_for_more_memory_though_no_more_is_pending() -> None:
    """CRIU has the kernel look at all of it."""
    small, large = (model(Engine.SPLICED, present_pages=pages).stop(0).mid for pages in (1000, 500_000))
    assert large > 2 * small


def test_what_a_spliced_dump_saves_anyway_is_told_by_the_last_one() -> None:
    dump = replace(made(LinkKind.DUMP, 20, Engine.SPLICED), pages_in_parent=9000, beyond_pending_pages=300)
    told = after(model(Engine.SPLICED), dump)
    assert told.anyway_pages == 300
    full = replace(dump, pages_in_parent=0, beyond_pending_pages=2)
    assert after(told, full).anyway_pages == 300


def test_a_dump_that_ended_its_target_tells_nothing_of_stopping() -> None:
    costs = model().after(made(LinkKind.DUMP, 10), After.KILL)
    assert costs.parts is not None
    assert costs.parts.stoppings_s == ()


def test_pre_dumps_of_ours_are_those_of_a_spliced_chain_and_its_dump_tells_what_criu_takes() -> None:
    costs = model(Engine.SPLICED).after(made(LinkKind.PRE_DUMP, 100))
    assert costs.pre_dump.done
    costs = after(costs, *[made(LinkKind.DUMP, 20, Engine.SPLICED)] * 2)
    assert costs.stop(60 * MIB).mid == pytest.approx(STOPPING_S + 60 * READING_S_PER_MIB, rel=0.05)


class TestLead:
    """Memory to copy to is mapped in before the stop, unless an earlier link left it behind."""

    S_PER_MIB = 0.01

    def lead_s(self, costs: CostModel, mib: float) -> float:
        return costs.lead(mib * MIB).mid

    def test_the_first_link_has_to_map_some_in(self) -> None:
        costs = model(touching_s_per_mib=self.S_PER_MIB)
        mapped_in_s = FIRST_BYTES / MIB * self.S_PER_MIB
        kept = costs.after(made(LinkKind.PRE_DUMP, 1))
        assert self.lead_s(costs, 1) - self.lead_s(kept, 1) == pytest.approx(mapped_in_s, rel=0.01)

    def test_then_dumps_need_none_until_they_are_large(self) -> None:
        costs = model(touching_s_per_mib=self.S_PER_MIB).after(made(LinkKind.PRE_DUMP, 1))
        assert self.lead_s(costs, 20) == self.lead_s(costs, 0)
        assert self.lead_s(costs, 400) - self.lead_s(costs, 200) == pytest.approx(
            1.25 * 200 * self.S_PER_MIB, rel=0.01
        )

    def test_a_large_dump_leaves_more_behind_and_not_all(self) -> None:
        costs = model(touching_s_per_mib=self.S_PER_MIB)
        costs = after(costs, made(LinkKind.PRE_DUMP, 1), made(LinkKind.DUMP, 400, lead_s=0.0))
        assert costs.kept_bytes == KEPT_BYTES
        assert self.lead_s(costs, 40) == self.lead_s(costs, 0)
