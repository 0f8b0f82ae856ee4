"""A canary makes pages dirty without taking a forked tree's memory apart."""

from __future__ import annotations

import numpy as np
import pytest

from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Pagemap
from engine.pageset import PAGE_SHIFT
from engine.tracking.canary import choose, plant
from tests.targets.frames import are_told, frames
from tests.targets.scripted import ScriptedTarget


@pytest.mark.skipif(not are_told(), reason="frame numbers need CAP_SYS_ADMIN")
def test_epoch_after_epoch_takes_no_more_than_a_few_pages_from_who_shares_them(
    target: ScriptedTarget,
    pagemap: Pagemap,
) -> None:
    target.fork()
    maps = read_maps(target.pid)
    spans = [
        (vma.start, (vma.end - vma.start) >> PAGE_SHIFT)
        for vma in maps.vmas
        if vma.perms == "r--p" and vma.inode
    ]
    before = np.concatenate([frames(target.pid, *span) for span in spans])
    for _ in range(20):
        canary = choose(pagemap, maps)
        assert canary is not None
        assert canary.is_telling
        assert plant(target.pid, canary)
    after = np.concatenate([frames(target.pid, *span) for span in spans])
    assert 0 < np.count_nonzero(before != after) <= 6


def test_a_process_alone_gives_more_pages_than_a_few(target: ScriptedTarget, pagemap: Pagemap) -> None:
    canary = choose(pagemap, read_maps(target.pid))
    assert canary is not None
    assert len(canary.planted) + len(canary.left) > 6
