"""Random trees through random chains: stock CRIU restores what was spliced, and no page is wrong."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from engine.checkpoint import common_pages
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After
from engine.checkpoint.spliced.chain import SplicedChain
from engine.images.chain import read_chain, verify
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.outliving import Outliving
from tests.spliced import wandering

CHAINS = 60
SOAK_CHAINS = 500
_BATCH = 3


def make_random_chain(seed: int, kind: TrackerKind, criu: Criu, directory: Path) -> list[str]:
    """Take one tree through one chain and back to life; what is wrong with it."""
    rng = random.Random(seed)
    directory.mkdir()
    with Outliving(directory, wandering.__file__, seed) as target:
        with Session(target.pid, kind) as session:
            if rng.random() < 0.8:
                session.arm()
            chain = SplicedChain(session, directory / "chain", criu=criu)
            for _ in range(rng.randrange(4)):
                for _ in range(rng.randrange(3)):
                    time.sleep(rng.random() * 0.02)
                    session.tick()
                chain.pre_dump()
                time.sleep(rng.random() * 0.05)
            chain.dump(After.KILL)
        target.bury()
        wrong = [f"seed {seed}: {problem.text}" for problem in verify(read_chain(chain.directory))]
        restore(chain.directory, criu=criu)
        for _ in range(2):
            _, found = target.judge()
            if found:
                wrong.append(f"seed {seed}: {found} pages are wrong")
    return wrong


def run_chains(seeds: range, kind: TrackerKind, criu: Criu, directory: Path) -> None:
    wrong = []
    for seed in seeds:
        # These trees share little: let every second one write even that only once.
        with patch.object(common_pages, "LEAST_PAGES", (1, 1 << 60)[seed % 2]):
            wrong += make_random_chain(seed, kind, criu, directory / str(seed))
        shutil.rmtree(directory / str(seed))
    assert wrong == []


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("first", range(0, CHAINS, _BATCH))
def test_a_random_tree_is_restored_with_no_page_wrong(
    first: int, kind: TrackerKind, criu: Criu, quick_directory: Path
) -> None:
    run_chains(range(first, first + _BATCH), kind, criu, quick_directory)


@pytest.mark.soak
@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("first", range(CHAINS, CHAINS + SOAK_CHAINS, _BATCH))
def test_many_more_random_trees(first: int, kind: TrackerKind, criu: Criu, quick_directory: Path) -> None:
    run_chains(range(first, first + _BATCH), kind, criu, quick_directory)
