"""Whether a sample has rates to show: what is not measured is a dash, and neither zero nor gigabytes."""

from __future__ import annotations

from engine.tracking.sample import Sample


def is_tracked(sample: Sample) -> bool:
    """Whether writes show at all: not before the target is armed."""
    return sample.elapsed_s > 0


def has_rates(sample: Sample) -> bool:
    """Whether an interval lies behind it.

    The first tick after arming follows at once, so that it shows that the target is armed: what it
    found was written in some microseconds, and would make a rate of gigabytes a second.
    """
    return sample.number > 0 and is_tracked(sample)
