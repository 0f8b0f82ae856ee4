"""CI has each emulated kernel run a share of the test functions, another one in each turn.

In three turns every function runs on one kernel or the other, in six on each.
"""

from __future__ import annotations

import zlib
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


def is_in_share(function: str, share: int) -> bool:
    """Whether a test function is in that share: by its name, so it stays when others come and go."""
    return zlib.crc32(function.encode()) % SHARES == share
