"""What links tell of where their time went, which is what costs are learnt from."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.memory import MemoryChain
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget


def test_the_parts_of_a_link_lie_within_it(target: ScriptedTarget, tmp_path: Path) -> None:
    pages = 4096
    base = target.map(pages)
    target.touch(base, pages)
    with Session(target.pid) as session:
        chain = MemoryChain(session, tmp_path / "chain")
        pre_dump = chain.pre_dump()
        target.touch(base, pages)
        dump = chain.dump()
    for link in (pre_dump, dump):
        times = link.times
        assert min(times.lead_s, times.collect_s, times.read_s) > 0
        assert times.lead_s + times.collect_s + times.read_s < link.seconds
    assert pre_dump.times.read_s <= pre_dump.copy_s
    assert dump.times.collect_s + dump.times.read_s <= dump.stopped_us / 1e6 + 1e-4
