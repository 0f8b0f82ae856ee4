"""Chains that begin with links of ours and end with a dump that stock CRIU restores."""

from __future__ import annotations

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After
from engine.checkpoint.spliced.chain import SplicedChain
from engine.images.chain import read_chain, verify
from engine.pageset import PAGE_SIZE
from tests.criu.outliving import Outliving


def test_a_target_that_never_rests_finds_no_page_wrong(
    criu: Criu, chain: SplicedChain, judge: Outliving
) -> None:
    for _ in range(2):
        chain.pre_dump()
        judge.judge()
    before, _ = judge.judge()
    last = chain.dump(After.KILL)
    judge.bury()
    assert last.restorable
    assert last.pages_in_parent > 0
    assert last.size_bytes == last.pages_written * PAGE_SIZE
    assert verify(read_chain(chain.directory)) == ()
    restore(chain.directory, criu=criu)
    after, wrong = judge.judge()
    assert after > before
    assert wrong == 0
