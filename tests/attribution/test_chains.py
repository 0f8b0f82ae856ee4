"""Call chains by number, also of a target that makes up new ones without end."""

from __future__ import annotations

import numpy as np

from engine.attribution.chains import ChainTable

DEPTH = 4


def test_the_same_chain_has_the_same_number_and_is_its_processs_own() -> None:
    table = ChainTable(DEPTH)
    chains = np.array([[5, 6, 0, 0], [7, 0, 0, 0], [5, 6, 0, 0]], np.uint64)
    first, second, third = table.number(1, chains).tolist()
    assert (first == third, first != second) == (True, True)
    assert table[first] == (1, (5, 6))
    assert table.number(2, chains).tolist()[0] not in (first, second)


def test_chains_without_end_are_told_by_their_innermost_alone_and_then_not_at_all() -> None:
    table = ChainTable(DEPTH)
    for at in range(0, 200_000, 10_000):
        leaves = np.arange(at, at + 10_000, dtype=np.uint64) % np.uint64(100) + np.uint64(1)
        callers = np.arange(at, at + 10_000, dtype=np.uint64) + np.uint64(1)
        numbers = table.number(1, np.stack([leaves, callers, callers, callers], axis=1))
        for row in (0, 17, 9_999):
            assert table[int(numbers[row])][1][0] == leaves[row]
    assert len(table) <= (1 << 14) + 100
    endless = np.arange(1, 120_001, dtype=np.uint64)
    table.number(1, np.stack([endless, endless, endless, endless], axis=1))
    assert len(table) <= (1 << 15) + 1
