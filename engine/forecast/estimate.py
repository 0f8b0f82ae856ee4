"""A figure that is foreseen, with the range it should lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Estimate:
    """The likeliest value, and what it should not fall below or rise above nine times in ten."""

    low: float
    mid: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Self:
        """A figure that is known."""
        return cls(value, value, value)

    @classmethod
    def around(cls, low: float, mid: float, high: float) -> Self:
        """An estimate whose range reaches at least to its likeliest value."""
        return cls(min(low, mid), mid, max(high, mid))

    def __add__(self, other: Estimate) -> Estimate:
        """Of the sum, if both go wrong in the same direction."""
        return Estimate(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __contains__(self, value: float) -> bool:
        """Whether this value lies in the range."""
        return self.low <= value <= self.high


NOTHING = Estimate.exactly(0.0)
