"""Damaged chains: every reader says what is wrong, and only that; what is sound is what it is said to be."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

import engine

_ROOT = Path(engine.__path__[0]).parent
_CASES = 400
_SOAKED = 20_000
_SEED = "dirtytop"


def run(seed: str, first: int, count: int) -> dict[str, int]:
    """In a process of its own, whose memory and time are limited; how often each end was met."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.images.fuzzing", seed, str(first), str(count)],
        cwd=_ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:] or f"seed {seed}: ended by signal {-done.returncode}"
    ends: dict[str, int] = literal_eval(done.stdout)
    return ends


@pytest.mark.parametrize("part", range(4))
def test_every_reader_survives_what_is_damaged_and_what_is_sound_is_right(part: int) -> None:
    ends = run(_SEED, part * _CASES, _CASES)
    assert sum(ends.values()) == _CASES
    # Were all of them refused, or none, little would have been tried.
    assert ends["sound"] > _CASES // 10
    assert ends["unsound"] > _CASES // 10


@pytest.mark.soak
@pytest.mark.parametrize("part", range(50))
def test_a_million_damaged_chains(part: int) -> None:
    seed = os.environ.get("DIRTYTOP_SEED", os.urandom(4).hex())
    print(f"DIRTYTOP_SEED={seed}")
    run(seed, part * _SOAKED, _SOAKED)
