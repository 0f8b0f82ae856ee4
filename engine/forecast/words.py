"""Durations, rates and numbers as a sentence says them."""

from __future__ import annotations

from typing import Final

_TIMES: Final = ("not at all", "once", "twice")
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def duration(seconds: float) -> str:
    """As in "80 µs", "14 ms", "1.4 s", "2 min"."""
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    if seconds >= 1:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2g} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.0f} µs"


def stop(seconds: float) -> str:
    """As in "stops 14 ms"."""
    return f"stops {duration(seconds)}"


def times(count: int) -> str:
    """As in "twice", "5 times"."""
    return _TIMES[count] if count < len(_TIMES) else f"{count} times"


def rates(first_bytes_per_s: float, second_bytes_per_s: float) -> tuple[str, str]:
    """Two rates in one unit, which the first names: "2.1 GiB/s" and "0.9"."""
    unit, scale = 0, 1.0
    while max(first_bytes_per_s, second_bytes_per_s) / scale >= 1000 and unit < len(_UNITS) - 1:
        unit, scale = unit + 1, scale * 1024
    return (
        f"{first_bytes_per_s / scale:.3g} {_UNITS[unit]}/s",
        f"{second_bytes_per_s / scale:.3g}",
    )


def exact_duration(seconds: float) -> str:
    """So that it can be read back: "50ms", "3s", "0.25s"."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.12g}s"
    return f"{seconds * 1e3:.12g}ms"
