"""How long the machine has been running: `/proc/uptime` (Documentation/filesystems/proc.rst)."""

from __future__ import annotations


def uptime_us() -> int:
    """Microseconds since boot, as exact as a hundredth of a second."""
    with open("/proc/uptime", "rb") as file:
        return int(float(file.read().split()[0]) * 1e6)
