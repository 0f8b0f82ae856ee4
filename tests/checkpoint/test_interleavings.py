"""Whatever happens between two links, in whatever order: the end of the chain is right, or was refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.kernel.process import read_stat
from engine.tracking.sample import TrackerKind
from tests.checkpoint.story import LAST_PID, Story

INTERLEAVINGS = 100
_BATCH = 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, INTERLEAVINGS, _BATCH))
def test_the_end_is_right_or_refused(first: int, kind: TrackerKind, tmp_path: Path) -> None:
    for seed in range(first, first + _BATCH):
        story = Story(seed, kind, tmp_path / str(seed))
        try:
            story.play()
            assert story.judge() == [], f"seed {seed}: {story.told}"
        finally:
            story.close()


def test_a_pid_used_again_between_two_links_is_another_process(kind: TrackerKind, tmp_path: Path) -> None:
    if not os.access(LAST_PID, os.W_OK):
        pytest.skip("the next pid cannot be chosen here")
    story = Story(1, kind, tmp_path / "chain")
    try:
        story.fork()
        story.pre_dump()
        (old,) = story.children
        begun = read_stat(old).start_ticks
        while story.children == [old] and read_stat(old).start_ticks == begun:
            time.sleep(0.02)  # start times have a resolution of ten milliseconds
            story.reuse_a_pid()
        assert story.judge() == []
    finally:
        story.close()
