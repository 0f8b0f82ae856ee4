"""What `/proc/PID/smaps` adds to `maps`: what is resident, and the VmFlags of each mapping.

The kernel walks every page to make this file, so it is read for a dump or to skip empty mappings,
never each tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.errors import kernel_errors
from engine.kernel.process import memory_file

_KIB = 1024
_COUNTED = {
    b"Rss:": "rss",
    b"Swap:": "swap",
    b"AnonHugePages:": "anon_huge",
    b"ShmemPmdMapped:": "shmem_huge",
    b"FilePmdMapped:": "file_huge",
}


@dataclass(frozen=True, slots=True)
class SmapsEntry:
    """One mapping of smaps."""

    start: int
    end: int
    rss_bytes: int
    swap_bytes: int
    huge_bytes: int
    """What is mapped as transparent huge pages, of any kind."""
    flags: frozenset[str]
    """Two-letter VmFlags, as in "rd", "wr", "sd" (soft-dirty), "ht" (hugetlb), "mg" (mergeable)."""

    @property
    def is_empty(self) -> bool:
        """Whether no page of it is resident or swapped."""
        return self.rss_bytes == 0 and self.swap_bytes == 0

    @property
    def is_hugetlb(self) -> bool:
        """Whether it is a mapping of hugetlbfs, whose pages are huge and never anything else."""
        return "ht" in self.flags

    @property
    def is_mergeable(self) -> bool:
        """Whether the kernel may merge equal pages of it (madvise(2), MADV_MERGEABLE)."""
        return "mg" in self.flags

    @property
    def holds_huge_pages(self) -> bool:
        """Whether one entry of the page table stands for many of its pages."""
        return self.huge_bytes > 0 or self.is_hugetlb


def read_smaps(pid: int) -> list[SmapsEntry]:
    """Every mapping with its resident size and flags, ascending.

    Raises:
        TargetGone: the process has exited.
        NotPermitted: its map is not ours to read.
    """
    with kernel_errors(pid, "read its smaps"), open(memory_file(pid, "smaps"), "rb") as file:
        return list(_entries(file.read().split(b"\n")[:-1]))


def _entries(lines: list[bytes]) -> Iterator[SmapsEntry]:
    start = end = 0
    sizes = dict.fromkeys(_COUNTED.values(), 0)
    for line in lines:
        label, _, rest = line.partition(b" ")
        if label in _COUNTED:
            sizes[_COUNTED[label]] = int(rest.split()[0]) * _KIB
        elif label == b"VmFlags:":
            yield SmapsEntry(
                start,
                end,
                sizes["rss"],
                sizes["swap"],
                sizes["anon_huge"] + sizes["shmem_huge"] + sizes["file_huge"],
                frozenset(rest.decode("ascii").split()),
            )
            sizes = dict.fromkeys(_COUNTED.values(), 0)
        elif not label.endswith(b":"):
            low, _, high = label.partition(b"-")
            start, end = int(low, 16), int(high, 16)
