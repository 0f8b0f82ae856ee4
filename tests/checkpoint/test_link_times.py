"""What links tell of where their time went, which is what costs are learnt from."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.memory import MemoryChain
from engine.tracking.session import Session
from tests.known import known
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
        parts_s = [known(part_s) for part_s in (times.lead_s, times.collect_s, times.read_s)]
        assert min(parts_s) > 0
        assert sum(parts_s) < known(link.seconds)
    assert known(pre_dump.times.read_s) <= known(pre_dump.copy_s)
    assert known(dump.times.collect_s) + known(dump.times.read_s) <= known(dump.stopped_s) + 1e-4
