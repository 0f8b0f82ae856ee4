"""A duration that grows with the number of bytes handled: a fixed part, and so much a byte.

It is learnt by medians from the last few times the thing was done: one time that was disturbed does not count
(Theil–Sen: the slope is the median of the slopes between pairs, each weighing as much as it is long). Before
the thing was ever done, the measurements of a probe stand in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.forecast.estimate import Estimate

REMEMBERED: Final = 9
_ENOUGH_TO_SPREAD: Final = 3
_PROBE_SPREAD: Final = (0.7, 1.5)
"""Range of what was only probed, as factors: the real thing does more than the probe."""
_LEAST_SPREAD: Final = (0.93, 1.08)
_FASTEST_S_PER_BYTE: Final = 1e-13
_SMALL_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Timed:
    """Something that was done once."""

    size_bytes: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CostLine:
    """seconds = `fixed_s` + size × `s_per_byte`, and how far that is off."""

    probed: tuple[Timed, ...]
    """What a short probe found, of at least two sizes."""
    done: tuple[Timed, ...] = ()
    """The last times it was really done, oldest first."""
    is_sum: bool = False
    """A sum of lines that learn by themselves: what was done tells only how far off the sum is."""
    fixed_s: float = field(init=False)
    s_per_byte: float = field(init=False)
    spread: tuple[float, float] = field(init=False)
    """Nine times in ten, what was measured lies between these multiples of what the line says."""

    def __post_init__(self) -> None:
        """Fit the line."""
        fixed_s, slope = _fit(self.probed)
        fixed_s = max(fixed_s, 0.0)
        if self.done and not self.is_sum:
            fixed_s, slope = _learnt(self.done, fixed_s, slope)
        object.__setattr__(self, "fixed_s", fixed_s)
        object.__setattr__(self, "s_per_byte", max(slope, _FASTEST_S_PER_BYTE))
        object.__setattr__(self, "spread", self._find_spread())

    @classmethod
    def of(cls, fixed_s: float, s_per_byte: float) -> CostLine:
        """A line that was put together from others."""
        size = 64 << 20
        return cls((Timed(0, fixed_s), Timed(size, fixed_s + size * s_per_byte)))

    def on(self, fixed_s: float, s_per_byte: float, *, is_sum: bool = False) -> CostLine:
        """The same done on top of another first guess, or beside a sum."""
        return CostLine(CostLine.of(fixed_s, s_per_byte).probed, self.done, is_sum)

    @property
    def bytes_per_s(self) -> float:
        """The rate, without the fixed part."""
        return 1 / self.s_per_byte

    def after(self, size_bytes: float, seconds: float) -> CostLine:
        """The same once it has been done another time."""
        return CostLine(self.probed, (*self.done, Timed(size_bytes, seconds))[-REMEMBERED:], self.is_sum)

    def mid_s(self, size_bytes: float) -> float:
        """How long it likely takes for so many bytes."""
        return self.fixed_s + size_bytes * self.s_per_byte

    def seconds(self, size_bytes: float) -> Estimate:
        """How long it takes for so many bytes."""
        mid_s = self.mid_s(size_bytes)
        low, high = self.spread
        return Estimate(mid_s * low, mid_s, mid_s * high)

    def _find_spread(self) -> tuple[float, float]:
        ratios = [timed.seconds / self.mid_s(timed.size_bytes) for timed in self.done if timed.seconds > 0]
        if len(ratios) < _ENOUGH_TO_SPREAD:
            return min(_PROBE_SPREAD[0], *ratios, 1), max(_PROBE_SPREAD[1], *ratios, 1)
        low, high = np.quantile(ratios, (0.1, 0.9))
        return min(float(low), _LEAST_SPREAD[0]), max(float(high), _LEAST_SPREAD[1])


def _learnt(done: tuple[Timed, ...], fixed_s: float, slope: float) -> tuple[float, float]:
    """A line through what was done, and by the probe where that does not tell enough."""
    if _tells_slope(done):
        # Where small ones cost less than nothing by that line, they cost what the probe says.
        learnt_s, slope = _fit(done)
        return (learnt_s if learnt_s > 0 else fixed_s), slope
    # All of about one size: the probe may have been as wrong about the others.
    factor = _factor(done, fixed_s, slope)
    return factor * fixed_s, factor * slope


def _tells_slope(done: tuple[Timed, ...]) -> bool:
    """Whether these were of sizes far enough apart to do without the probe."""
    sizes = [timed.size_bytes for timed in done]
    return len(sizes) >= _ENOUGH_TO_SPREAD and max(sizes) >= 2 * min(sizes) and max(sizes) > 1 << 20


def _factor(done: tuple[Timed, ...], fixed_s: float, slope: float) -> float:
    foreseen_s = [fixed_s + slope * timed.size_bytes for timed in done]
    ratios = [timed.seconds / said for timed, said in zip(done, foreseen_s, strict=True) if said > 0]
    # The probe is one among them: what was done once may have been disturbed.
    return float(np.median([1.0, *ratios]))


def _fit(points: tuple[Timed, ...]) -> tuple[float, float]:
    """The fixed part, which may come out negative, and the slope."""
    slope = _slope(points)
    sizes = np.array([timed.size_bytes for timed in points], dtype=np.float64)
    left_s = np.array([timed.seconds for timed in points]) - slope * sizes
    # Large ones stray by more than a small one takes: those that are small tell best what nothing costs.
    return _weighted_median(left_s, 1 / np.sqrt(sizes + _SMALL_BYTES)), slope


def _slope(points: tuple[Timed, ...]) -> float:
    sizes = np.array([timed.size_bytes for timed in points], dtype=np.float64)
    seconds = np.array([timed.seconds for timed in points])
    first, second = np.triu_indices(len(points), 1)
    apart = sizes[second] - sizes[first]
    far = np.abs(apart) >= np.maximum(1.0, 0.1 * np.maximum(sizes[first], sizes[second]))
    if not far.any():
        return _FASTEST_S_PER_BYTE
    slopes = (seconds[second] - seconds[first])[far] / apart[far]
    return max(_weighted_median(slopes, np.abs(apart[far])), _FASTEST_S_PER_BYTE)


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    through = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(through, through[-1] / 2))])
