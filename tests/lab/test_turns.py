"""What one kernel leaves out in a turn, it runs in another one, and the other kernel before that."""

from __future__ import annotations

import fcntl
from itertools import product
from pathlib import Path

import pytest

from tests.lab import __main__ as lab
from tests.lab.turns import SHARES, is_in_share, part_in

FUNCTIONS = [f"test_{number}" for number in range(20)]
SPREAD = FUNCTIONS[3:16]
KERNELS = (0, 1)


def run_in(turn: int, kernel: int) -> set[str]:
    """What is run, where of what is spread a batch has every other one."""
    batch, share = part_in(turn, kernel)
    ours = {function for function in FUNCTIONS if is_in_share(function, share)}
    return ours - set(SPREAD[(batch + 1) % 2 :: 2])


@pytest.mark.parametrize("first", range(0, 6 * SHARES, SHARES))
def test_in_a_round_of_turns_every_function_runs_on_a_kernel(first: int) -> None:
    turns = range(first, first + SHARES)
    assert set().union(*(run_in(turn, kernel) for turn, kernel in product(turns, KERNELS))) == set(FUNCTIONS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_in_two_rounds_every_function_runs_on_each_kernel(kernel: int) -> None:
    assert set().union(*(run_in(turn, kernel) for turn in range(7, 7 + 2 * SHARES))) == set(FUNCTIONS)


def test_shares_are_of_about_the_same_size() -> None:
    functions = [f"tests/kernel/test_maps.py::test_{number}" for number in range(300)]
    for share in range(SHARES):
        assert 80 < sum(is_in_share(function, share) for function in functions) < 120


def test_tests_need_not_wait_for_another_lab_where_all_they_need_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(lab, "LAB", tmp_path)
    monkeypatch.setattr(lab, "has_host_roots", lambda: True)
    monkeypatch.setattr(lab, "provide_host_programs", lambda: made.append("programs"))
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert lab.main(["--host-programs"]) == 0
    assert made == ["programs"]
