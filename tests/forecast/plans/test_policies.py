"""The rules of others, on rounds made by hand."""

from __future__ import annotations

import pytest

from engine.forecast.plans.policies import Policy, Round, lxd, p_haul, rounds_under

PRESENT = 100_000


def rounds(*written: int) -> list[Round]:
    return [Round(pages, PRESENT - pages) for pages in written]


@pytest.mark.parametrize(
    ("policy", "written", "made"),
    [
        (p_haul, (PRESENT, 50), 2),
        (p_haul, (PRESENT, 64), 2),
        (p_haul, (40,), 1),
        (p_haul, (PRESENT, 1000, 1101), 3),
        (p_haul, (PRESENT, 1000, 1100, 1100), 4),
        (p_haul, (PRESENT, *[1000] * 20), 9),
        (lxd, (PRESENT, 29_000), 2),
        (lxd, (PRESENT, 30_000, 29_000), 3),
        (lxd, (PRESENT, *[90_000] * 20), 10),
    ],
)
def test_it_stops_where_its_rule_says(policy: Policy, written: tuple[int, ...], made: int) -> None:
    assert rounds_under(policy, rounds(*written)) == made


def test_an_empty_target_needs_no_second_round() -> None:
    assert lxd([Round(0, 0)])
    assert p_haul([Round(0, 0)])
