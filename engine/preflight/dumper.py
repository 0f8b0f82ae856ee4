"""What the rules need to know of the CRIU that is to make the dump."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engine.preflight.finding import Version

GHOST_LIMIT_BYTES: Final = 1 << 20
"""How large a deleted file CRIU saves if it is not told otherwise (criu/include/cr_options.h)."""
NEWEST_KNOWN: Final[Version] = (4, 2, 0)
"""The newest CRIU that the rules were compared with."""


@dataclass(frozen=True, slots=True)
class Dumper:
    """Which one, and what it has been told."""

    version: Version = NEWEST_KNOWN
    options: frozenset[str] = frozenset()
    """The options that are on, as named in criu.conf."""
    externals: frozenset[str] = frozenset()
    """What it has been told not to save, as in "unix[1234]", and so on for mounts, terminals, files."""
    ghost_limit_bytes: int = GHOST_LIMIT_BYTES
    plugins: frozenset[str] = field(default_factory=frozenset)
    """Those it finds, as in "cuda_plugin"."""
    network_lock: str = "skip"
    """How it keeps packets away from what it saves of a network, as named in criu.conf."""
    has_bpf_maps: bool = False
    """Whether it was built with what saves BPF maps."""

    @property
    def locks_by_iptables(self) -> bool:
        """Whether it runs programs to keep packets away."""
        return self.network_lock == "iptables"

    def allows(self, option: str) -> bool:
        """Whether that option is on."""
        return option in self.options

    def leaves_out(self, kind: str) -> bool:
        """Whether it has been told not to save things of this kind, as in "mnt"; of which, nobody can say."""
        return any(external.startswith(f"{kind}[") for external in self.externals)
