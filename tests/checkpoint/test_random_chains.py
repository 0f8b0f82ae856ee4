"""The proof of the native engine: random writers, random chains, and not one byte wrong."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from engine.checkpoint import common_pages
from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.kernel.process import children_of
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets import restless

CHAINS = 200
SOAK_CHAINS = 2000
_BATCH = 5
_SOAK_BATCH = 20


@contextmanager
def restless_target(seed: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", restless.__file__, str(seed)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        family = list(children_of({process.pid}).values())
        process.kill()
        process.wait()
        for member in family:
            subprocess.run(["kill", "-KILL", str(member.pid)], check=False, stderr=subprocess.DEVNULL)


def make_random_chain(seed: int, kind: TrackerKind, directory: Path) -> list[str]:
    """Run one writer through one chain; what is wrong with its end."""
    rng = random.Random(seed)
    with restless_target(seed) as process, Session(process.pid, kind) as session:
        session.set_mode(rng.choice(session.modes))
        if rng.random() < 0.8:
            session.arm()
        chain = MemoryChain(session, directory)
        for _ in range(rng.randrange(4)):
            for _ in range(rng.randrange(3)):
                time.sleep(rng.random() * 0.01)
                session.tick()
                if rng.random() < 0.1:
                    session.arm()
                if rng.random() < 0.2:
                    session.set_mode(rng.choice(list(session.modes) or [RateMode.REARMING]))
            chain.pre_dump()
            time.sleep(rng.random() * 0.01)
        result = chain.dump(After.STOP)
        images = read_chain(result.path)
        wrong = [f"seed {seed}: {problem.text}" for problem in verify(images)]
        for member in images.links[-1].pids:
            wrong += [f"seed {seed}, process {member}: {text}" for text in differences(images, member)]
    return wrong


def run_chains(seeds: range, kind: TrackerKind, directory: Path) -> None:
    wrong = []
    for seed in seeds:
        # These trees share little: let every second one write even that only once.
        with patch.object(common_pages, "LEAST_PAGES", (1, 1 << 60)[seed % 2]):
            wrong += make_random_chain(seed, kind, directory / str(seed))
        shutil.rmtree(directory / str(seed))
    assert wrong == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, CHAINS, _BATCH))
def test_the_end_of_a_chain_is_the_memory_of_the_stopped_target(
    first: int, kind: TrackerKind, quick_directory: Path
) -> None:
    run_chains(range(first, first + _BATCH), kind, quick_directory)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(CHAINS, CHAINS + SOAK_CHAINS, _SOAK_BATCH))
def test_many_more_chains(first: int, kind: TrackerKind, quick_directory: Path) -> None:
    run_chains(range(first, first + _SOAK_BATCH), kind, quick_directory)
