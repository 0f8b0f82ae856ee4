"""Numbers with their units, as text.

A figure that stands in a column or a tile is *formatted* (`format_…`): exact, of a known width, so that
figures above each other align. A figure within a sentence is *said* (`say_…`): no more digits than a reader
takes in, and no padding. An amount of memory takes the unit that fits it; a column keeps one unit, chosen by
its largest figure, so that the longer number is the larger (`Unit`). All of it is ASCII but for `µ` and the
signs below; NaN and infinities become a dash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

NOTHING: Final = "–"
"""Shown where there is no figure."""
ZERO: Final = "·"
"""Shown in columns for zero, so that what is not zero stands out."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TIMES: Final = ("not at all", "once", "twice")
_SHOWS_UP_TO: Final = 10_000
"""A column moves on to the next unit when its largest figure would need five digits."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of memory that a whole column keeps."""

    name: str
    bytes: int
    decimals: int

    @classmethod
    def for_largest(cls, largest_bytes: float) -> Unit:
        """The unit for a column whose largest figure is this.

        Never less than MiB: pages come by the kilobyte, but what is worth looking at does not.
        """
        for unit in _COLUMN_UNITS:
            if largest_bytes < _SHOWS_UP_TO * unit.bytes:
                return unit
        return _COLUMN_UNITS[-1]

    def format(self, amount_bytes: float, zero: str = ZERO) -> str:
        """The figure alone, to be justified right; all of a column have equally many decimals.

        What would round to nothing is shown as `<0.01`: a written page is never shown as none.
        """
        if not math.isfinite(amount_bytes):
            return NOTHING
        if amount_bytes == 0:
            return zero
        figure = amount_bytes / self.bytes
        least = 10.0**-self.decimals
        if 0 < figure < least / 2:
            return f"<{least:.{self.decimals}f}"
        return f"{figure:.{self.decimals}f}"


_COLUMN_UNITS: Final = (Unit("MiB", 1 << 20, 2), Unit("GiB", 1 << 30, 3), Unit("TiB", 1 << 40, 3))


def format_bytes(n: float) -> str:
    """An amount of memory in the unit that fits: nine cells, as in `" 4.0 KiB"` and `"1023 MiB"`.

    The unit is padded to three letters, so that figures in a column align on it.
    """
    figure, unit = split_bytes(n)
    return f"{figure:>5} {unit:<3}"


def format_rate(bytes_per_s: float) -> str:
    """A rate in the unit that fits: eleven cells, as in `" 48.2 MiB/s"`."""
    figure, unit = split_bytes(bytes_per_s)
    return f"{figure:>5} {unit + '/s':<5}"


def say_bytes(n: float) -> str:
    """An amount of memory for a sentence, without padding: `"4.0 KiB"`."""
    return " ".join(split_bytes(n)).rstrip()


def split_bytes(n: float, least_unit: str = "B") -> tuple[str, str]:
    """An amount of memory as figure (at most four digits or three and a decimal) and unit.

    A figure that changes all the time keeps its unit longer with a `least_unit`: "0.14", "MiB".
    """
    if not math.isfinite(n):
        return NOTHING, ""
    unit = 0
    figure = float(n)
    # 1023.96 would round up to "1024.0": the next unit begins where the text would say so.
    least = _UNITS.index(least_unit)
    while unit < least or (round(abs(figure), 1) >= 1024 and unit < len(_UNITS) - 1):
        figure /= 1024
        unit += 1
    decimals = 0 if unit == 0 or round(abs(figure), 1) >= 1000 else 2 if 0 < figure < 1 <= least else 1
    return f"{figure:.{decimals}f}", _UNITS[unit]


def format_duration(seconds: float | None) -> str:
    """How long something took or lasts, in the two units that matter: `"1.20 ms"`, `"2 h 05 min"`.

    None and what is not finite are not known.
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        millis = seconds * 1e3
        return (
            f"{millis:.2f} ms"
            if millis < 9.995
            else f"{millis:.1f} ms"
            if millis < 99.95
            else f"{millis:.0f} ms"
        )
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def format_age(seconds: float) -> str:
    """How long ago, in one unit and at most five cells: `"0.4 s"`, `"59 s"`, `"12 m"`, `"3 h"`."""
    if not math.isfinite(seconds):
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    for unit, length, until in (("m", 60, 5970), ("h", 3600, 3600 * 99.5)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{min(seconds / 86_400, 999):.0f} d"


def format_clock(seconds: float) -> str:
    """A running time as a clock: `"00:42"`, `"1:02:03"`, `"3d 01:02:03"`."""
    if not math.isfinite(seconds):
        return NOTHING
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def format_count(n: float) -> str:
    """A count with thousands set apart: `"65,000"`."""
    return f"{n:,.0f}" if math.isfinite(n) else NOTHING


def format_percent(fraction: float) -> str:
    """A share of one as five cells at most: `"0.0%"`, `"12.5%"`, `"100%"`; `"<0.1%"` is not nothing."""
    if not math.isfinite(fraction):
        return NOTHING
    percent = fraction * 100
    if 0 < percent < 0.05:
        return "<0.1%"
    return f"{percent:.1f}%" if percent < 99.95 else f"{percent:.0f}%"


def say_duration(seconds: float) -> str:
    """A length of time for a sentence, rounded: `"80 µs"`, `"14 ms"`, `"1.4 s"`, `"2 min"`."""
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    if seconds >= 1:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2g} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.0f} µs"


def exact_duration(seconds: float) -> str:
    """A length of time as it is typed, and read back without loss: `"50ms"`, `"3s"`, `"90.5s"`."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.12g}s"
    return f"{seconds * 1e3:.12g}ms"


def say_stop(seconds: float) -> str:
    """A stop of the target for a sentence: `"stops for 14 ms"`."""
    return f"stops for {say_duration(seconds)}"


def say_times(count: int) -> str:
    """How often: `"twice"`, `"5 times"`."""
    return _TIMES[count] if count < len(_TIMES) else f"{count} times"


def say_rates(first_bytes_per_s: float, second_bytes_per_s: float) -> tuple[str, str]:
    """Two rates in one unit, which the first names: `"2.1 GiB/s"` and `"0.9"`."""
    unit, scale = 0, 1.0
    while max(first_bytes_per_s, second_bytes_per_s) / scale >= 1000 and unit < len(_UNITS) - 1:
        unit, scale = unit + 1, scale * 1024
    return (
        f"{first_bytes_per_s / scale:.3g} {_UNITS[unit]}/s",
        f"{second_bytes_per_s / scale:.3g}",
    )
