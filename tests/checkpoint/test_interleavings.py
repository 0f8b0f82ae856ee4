"""Whatever happens between two links, in whatever order: the end of the chain is right, or was refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.kernel.process import read_stat
from engine.tracking.sample import TrackerKind
from tests.checkpoint.story import LAST_PID, Story

INTERLEAVINGS = 60
SOAK_INTERLEAVINGS = 1000
_BATCH = 5
_SOAK_BATCH = 20


@pytest.fixture(autouse=True)
def _nothing_writes_but_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it was stopped, the kernel would note in it on which CPU it runs (rseq)."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")


def play(seeds: range, kind: TrackerKind, directory: Path) -> None:
    for seed in seeds:
        story = Story(seed, kind, directory / str(seed))
        try:
            story.play()
            assert story.judge() == [], f"seed {seed}: {story.told}"
        finally:
            story.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, INTERLEAVINGS, _BATCH))
def test_the_end_is_right_or_refused(first: int, kind: TrackerKind, quick_directory: Path) -> None:
    play(range(first, first + _BATCH), kind, quick_directory)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(INTERLEAVINGS, INTERLEAVINGS + SOAK_INTERLEAVINGS, _SOAK_BATCH))
def test_a_thousand_more_end_right_or_refused(first: int, kind: TrackerKind, quick_directory: Path) -> None:
    play(range(first, first + _SOAK_BATCH), kind, quick_directory)


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
