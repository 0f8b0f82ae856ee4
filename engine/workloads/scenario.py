"""The demo targets: what each does, how large it is, and the rate at which it truly writes."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_PAGE: Final = mmap.PAGESIZE
_MIB: Final = 1 << 20
_TIB: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Scenario:
    """One demo target."""

    name: str
    description: str
    """One line, with the true rate."""
    memory_bytes: int
    """What it has resident at most, all its processes together, without the interpreters."""
    pages_per_s: float
    """True rate, on average over a whole round."""
    sizes: Mapping[str, int]
    """What `start` and `scenario` take to make it larger, smaller, faster or slower."""

    @property
    def bytes_per_s(self) -> float:
        """The true rate in bytes."""
        return self.pages_per_s * _PAGE


def scenario(name: str, **sizes: int) -> Scenario:
    """The scenario of this name with some of its sizes changed.

    Raises:
        KeyError: there is none of this name.
        TypeError: it has no such size.
    """
    return _MAKERS[name](**sizes)


def _pages(mib: int) -> int:
    return mib * _MIB // _PAGE


def _rate(pages_per_s: float) -> str:
    return f"{pages_per_s:,.0f} pages/s, {pages_per_s * _PAGE / _MIB:,.1f} MiB/s"


def _size(pages: int) -> str:
    size = pages * _PAGE
    if size >= _TIB:
        return f"{size / _TIB:,.4g} TiB"
    return f"{size / _MIB:,.4g} MiB"


def _steady(
    cold_pages: int = _pages(112), hot_pages: int = _pages(16), pages_per_s: int = _pages(16)
) -> Scenario:
    return Scenario(
        "steady",
        f"a hot set of {_size(hot_pages)} in {_size(cold_pages + hot_pages)}, "
        f"written round and round: {_rate(pages_per_s)}",
        (cold_pages + hot_pages) * _PAGE,
        pages_per_s,
        {"cold_pages": cold_pages, "hot_pages": hot_pages, "pages_per_s": pages_per_s},
    )


def _sequential(buffer_pages: int = _pages(256), pages_per_s: int = _pages(32)) -> Scenario:
    return Scenario(
        "sequential",
        f"one pass after the other over {_size(buffer_pages)}: {_rate(pages_per_s)}",
        buffer_pages * _PAGE,
        pages_per_s,
        {"buffer_pages": buffer_pages, "pages_per_s": pages_per_s},
    )


def _zipf(cold_pages: int = _pages(96), hot_pages: int = _pages(64), pages_per_s: int = 8000) -> Scenario:
    return Scenario(
        "zipf",
        f"pages of {_size(hot_pages)} drawn at random, some much more often than others: "
        f"{_rate(pages_per_s)}, many of them again",
        (cold_pages + hot_pages) * _PAGE,
        pages_per_s,
        {"cold_pages": cold_pages, "hot_pages": hot_pages, "pages_per_s": pages_per_s},
    )


def _bursts(
    cold_pages: int = _pages(64),
    hot_pages: int = _pages(64),
    pages_per_s: int = _pages(32),
    burst_ms: int = 2000,
    quiet_ms: int = 4000,
) -> Scenario:
    average = pages_per_s * burst_ms / (burst_ms + quiet_ms)
    return Scenario(
        "bursts",
        f"{_rate(pages_per_s)} for {burst_ms / 1000:g} s, then nothing for {quiet_ms / 1000:g} s; "
        f"on average {_rate(average)}",
        (cold_pages + hot_pages) * _PAGE,
        average,
        {
            "cold_pages": cold_pages,
            "hot_pages": hot_pages,
            "pages_per_s": pages_per_s,
            "burst_ms": burst_ms,
            "quiet_ms": quiet_ms,
        },
    )


def _growing(
    limit_pages: int = _pages(256), chunk_pages: int = _pages(4), pages_per_s: int = _pages(8)
) -> Scenario:
    return Scenario(
        "growing",
        f"memory that grows to {_size(limit_pages)} and starts over: {_rate(pages_per_s)}, each page once",
        limit_pages * _PAGE,
        pages_per_s,
        {"limit_pages": limit_pages, "chunk_pages": chunk_pages, "pages_per_s": pages_per_s},
    )


def _sparse(reserved_pages: int = _TIB // _PAGE, hot_pages: int = 512, pages_per_s: int = 512) -> Scenario:
    return Scenario(
        "sparse",
        f"{hot_pages:,} pages spread over {_size(reserved_pages)} of reserved memory: {_rate(pages_per_s)}",
        hot_pages * _PAGE,
        pages_per_s,
        {"reserved_pages": reserved_pages, "hot_pages": hot_pages, "pages_per_s": pages_per_s},
    )


def _fork_tree(
    children: int = 4,
    cold_pages: int = _pages(14),
    hot_pages: int = _pages(2),
    pages_per_s: int = _pages(2),
    lifetime_ms: int = 20_000,
) -> Scenario:
    processes = children + 1
    replaced = f", a child replaced every {lifetime_ms / 1000:g} s" if lifetime_ms else ""
    return Scenario(
        "fork-tree",
        f"a parent and {children} children, each writing {_rate(pages_per_s)}{replaced}: "
        f"{_rate(pages_per_s * processes)}",
        (cold_pages + hot_pages) * processes * _PAGE,
        pages_per_s * processes,
        {
            "children": children,
            "cold_pages": cold_pages,
            "hot_pages": hot_pages,
            "pages_per_s": pages_per_s,
            "lifetime_ms": lifetime_ms,
        },
    )


def _tour(
    cold_pages: int = _pages(64),
    hot_pages: int = _pages(8),
    burst_pages: int = _pages(192),
    steady_ms: int = 20_000,
    burst_ms: int = 15_000,
    quiet_ms: int = 20_000,
    growing_ms: int = 20_000,
) -> Scenario:
    phases_ms = {"steady": steady_ms, "burst": burst_ms, "quiet": quiet_ms, "growing": growing_ms}
    rates = {"steady": 2 * hot_pages, "burst": 2 * burst_pages, "growing": hot_pages // 2}
    written = sum(phases_ms[name] * rate / 1000 for name, rate in rates.items())
    average = written / (sum(phases_ms.values()) / 1000)
    lengths = ", ".join(f"{name} for {length / 1000:g} s" for name, length in phases_ms.items())
    grown = rates["growing"] * (growing_ms // 1000 + 1)
    return Scenario(
        "tour",
        f"one after the other: {lengths}; on average {_rate(average)}",
        (cold_pages + hot_pages + burst_pages + grown) * _PAGE,
        average,
        {
            "cold_pages": cold_pages,
            "hot_pages": hot_pages,
            "burst_pages": burst_pages,
            "steady_ms": steady_ms,
            "burst_ms": burst_ms,
            "quiet_ms": quiet_ms,
            "growing_ms": growing_ms,
        },
    )


_MAKERS: Final[dict[str, Callable[..., Scenario]]] = {
    "steady": _steady,
    "sequential": _sequential,
    "zipf": _zipf,
    "bursts": _bursts,
    "growing": _growing,
    "sparse": _sparse,
    "fork-tree": _fork_tree,
    "tour": _tour,
}

SCENARIOS: Final[dict[str, Scenario]] = {name: make() for name, make in _MAKERS.items()}
"""Every scenario at its usual size, by name."""
