"""What one emulated kernel leaves out, another one runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from engine.tracking.sample import TrackerKind
from tests.lab.places import PROJECT, WITH_CRIU


def collected(*arguments: str) -> set[str]:
    """The nodes that pytest would run of the tests that need CRIU."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments, *WITH_CRIU],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^tests/\S+::.+$", done.stdout, re.MULTILINE))


def functions(nodes: set[str]) -> set[str]:
    return {node.partition("[")[0] for node in nodes}


@pytest.fixture(scope="module")
def every() -> set[str]:
    return collected()


@pytest.fixture(scope="module")
def shares() -> tuple[set[str], set[str]]:
    first, second = (collected("-p", "tests.lab.batches", f"--batch={batch}") for batch in (0, 1))
    return first, second


def test_two_kernels_run_every_function(every: set[str], shares: tuple[set[str], set[str]]) -> None:
    assert functions(shares[0] | shares[1]) == functions(every)


def test_each_runs_a_part(every: set[str], shares: tuple[set[str], set[str]]) -> None:
    for share in shares:
        assert share < every
        assert len(share) < 0.6 * len(every)


def test_a_function_that_is_spread_runs_with_all_its_parameters(
    every: set[str], shares: tuple[set[str], set[str]]
) -> None:
    chosen = {node for node in every if "test_chain.py::test_a_dump_alone_is_a_full_one[" in node}
    assert len(chosen) == len(TrackerKind)
    assert any(chosen <= share for share in shares)
