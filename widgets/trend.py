"""The recent past of many rows at once, and a row's past drawn small."""

from __future__ import annotations

from math import ceil, inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.pageset import Int64Array

BARS: Final = " ▁▂▃▄▅▆▇█"
_LINE_STEPS: Final = 6
"""How high a trend of one line goes: full blocks of rows one under the other would run together."""

Float32Array = NDArray[np.float32]


class TrendRing:
    """The last `depth` figures of each of n rows, as one array.

    Rows are told apart by position; when they change, `remap` says which was which. A tick over
    65,000 rows writes one contiguous stretch of memory and nothing else.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._ring: Float32Array = np.zeros((depth, 0), np.float32)
        self._newest = 0

    @property
    def row_count(self) -> int:
        """How many rows it remembers."""
        return int(self._ring.shape[1])

    def clear(self) -> None:
        """Forget every row."""
        self._ring = np.zeros((self.depth, 0), np.float32)

    def remap(self, before: Int64Array) -> None:
        """From now on there are `len(before)` rows: `before` is each one's old position, -1 for a new one."""
        if self.row_count == 0:
            self._ring = np.zeros((self.depth, len(before)), np.float32)
            return
        self._ring = self._ring[:, before]
        self._ring[:, before < 0] = 0

    def push(self, figures: NDArray[np.float64]) -> None:
        """Add the newest figure of each row, shape (n,); the oldest is forgotten."""
        self._newest = (self._newest + 1) % self.depth
        self._ring[self._newest] = figures

    def of(self, row: int) -> Float32Array:
        """A row's figures, oldest first, shape (depth,)."""
        column = self._ring[:, row]
        return np.concatenate((column[self._newest + 1 :], column[: self._newest + 1]))


def bars(figures: Float32Array, width: int) -> str:
    """The last `width` figures as bars one line high, with air above. See `tall_bars`."""
    return _drawn(figures, width, 1, _LINE_STEPS)[0]


def tall_bars(figures: Float32Array, width: int, height: int) -> list[str]:
    """The last `width` figures as bars relative to their largest; nothing is blank, anything shows.

    Args:
        figures: not negative, oldest first; NaN and infinities are shown as nothing.
        width: how many cells, one for each figure; padded on the left where there are fewer.
        height: how many lines, the topmost first.
    """
    return _drawn(figures, width, height, len(BARS) - 1)


def scaled_bars(figures: Float32Array, width: int, largest: float) -> str:
    """As `bars`, relative to `largest`: several trends on one scale can be compared."""
    return _drawn(figures, width, 1, _LINE_STEPS, largest)[0]


def _drawn(
    figures: Float32Array, width: int, height: int, steps: int, scale: float | None = None
) -> list[str]:
    # Plain Python: for so few numbers NumPy would take longer, and this is done for every row in view.
    last = (figures[-width:] if width else figures[:0]).tolist()
    recent = [figure if 0 < figure < inf else 0.0 for figure in last]
    largest = max(recent, default=0.0) if scale is None else scale
    if largest <= 0:
        return [" " * width] * height
    eighths = [ceil(figure / largest * steps * height) for figure in recent]
    return [
        "".join([BARS[min(max(eighth - floor, 0), steps)] for eighth in eighths]).rjust(width)
        for floor in range((height - 1) * steps, -1, -steps)
    ]
