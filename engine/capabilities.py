"""What root can do, in parts (capabilities(7)): which of them this process has."""

from __future__ import annotations

from enum import IntEnum


class Capability(IntEnum):
    """Those that make a difference to us, by the kernel's number (include/uapi/linux/capability.h)."""

    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    NET_ADMIN = 12
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_NICE = 23
    SYS_RESOURCE = 24
    PERFMON = 38
    CHECKPOINT_RESTORE = 40

    @property
    def full_name(self) -> str:
        """As in "CAP_SYS_PTRACE"."""
        return f"CAP_{self.name}"


def effective_capabilities() -> frozenset[Capability]:
    """Those in effect for this process now."""
    with open("/proc/self/status", "rb", 0) as file:
        lines = file.read().split(b"\n")
    bits = next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:"))
    return frozenset(capability for capability in Capability if bits >> capability & 1)
