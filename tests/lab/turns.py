"""CI has each emulated kernel run a share of the test functions, another one in each turn.

In three turns every function runs on one kernel or the other, in six on each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SHARES: Final = 3
"""How many there are."""


def part_in(turn: int, kernel: int) -> tuple[int, int]:
    """What a kernel runs in a turn: the number of the batch (`tests/lab/batches.py`), and of the share.

    Args:
        turn: its number.
        kernel: the kernel's.
    """
    rounds, in_round = divmod(turn, SHARES)
    # So a share does not always come with the same half of what is spread.
    return kernel + rounds, (kernel + in_round) % SHARES


def share_of(functions: Iterable[str], share: int) -> frozenset[str]:
    """Of the test functions of a whole run those of a share: every third, as neighbours are alike."""
    return frozenset([*dict.fromkeys(functions)][share::SHARES])
