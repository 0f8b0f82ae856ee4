"""Call chains by number: most faults come from few places."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST_CHAINS: Final = 1 << 14
"""A target decides what its chains are, and could make up new ones without end."""


class ChainTable:
    """Numbers each chain that it has ever seen; addresses only mean something within one process.

    Once there are `_MOST_CHAINS`, new ones are known by their innermost instruction alone, and once there are
    twice as many, by nothing.
    """

    def __init__(self, depth: int) -> None:
        # Nobody outside knows these, so nobody can make two chains fall together.
        random = np.random.default_rng()
        self._factors = random.integers(1, 1 << 63, depth, np.uint64) * np.uint64(2) + np.uint64(1)
        self._numbers: dict[tuple[int, int], int] = {}
        self._numbers_in_short: dict[tuple[int, tuple[int, ...]], int] = {}
        self._chains: list[tuple[int, tuple[int, ...]]] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._chains)

    def __getitem__(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Whose it is (pid), and its instructions: the innermost first, then its callers."""
        return self._chains[number]

    def number(self, pid: int, chains: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The number of each.

        Args:
            pid: whose.
            chains: shape (n, depth), 0 where a chain has ended.

        Returns:
            Shape (n,).
        """
        with np.errstate(over="ignore"):
            hashes = (chains * self._factors).sum(axis=1, dtype=np.uint64)
        distinct, firsts, which = np.unique(hashes, return_index=True, return_inverse=True)
        numbers = np.empty(len(distinct), np.int32)
        for at, (value, first) in enumerate(zip(distinct.tolist(), firsts.tolist(), strict=True)):
            known = self._numbers.get((pid, value))
            if known is None:
                chain = tuple(ip for ip in chains[first].tolist() if ip)
                if len(self._chains) < _MOST_CHAINS:
                    known = self._numbers[pid, value] = self._append(pid, chain)
                else:
                    known = self._in_short(pid, chain[:1] if len(self._chains) < 2 * _MOST_CHAINS else ())
            numbers[at] = known
        return numbers[which]

    def _in_short(self, pid: int, chain: tuple[int, ...]) -> int:
        """The number of what is left of a chain for which there is no room."""
        known = self._numbers_in_short.get((pid, chain))
        if known is None:
            known = self._numbers_in_short[pid, chain] = self._append(pid, chain)
        return known

    def _append(self, pid: int, chain: tuple[int, ...]) -> int:
        self._chains.append((pid, chain))
        return len(self._chains) - 1
