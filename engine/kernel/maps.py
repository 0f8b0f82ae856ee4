"""The memory map of a process: `/proc/PID/maps` (Documentation/filesystems/proc.rst).

`MapsReader` rereads the file of one process again and again and parses only the lines it has not
seen before: a tick over 65,000 unchanged mappings costs little more than the read itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from engine.errors import kernel_errors
from engine.kernel.process import memory_file
from engine.pageset import PAGE_SHIFT, Int64Array, PageSet
from engine.printable import printable


class VmaKind(Enum):
    """What backs a mapping."""

    HEAP = "heap"
    STACK = "stack"
    ANON = "anon"
    NAMED_ANON = "named anon"
    FILE_PRIVATE = "file private"
    FILE_SHARED = "file shared"
    SHMEM = "shmem"
    MEMFD = "memfd"
    HUGETLB = "hugetlb"
    VDSO = "vdso"
    VVAR = "vvar"
    VSYSCALL = "vsyscall"
    GUARD = "guard"
    SPECIAL = "special"


class Vma(NamedTuple):
    """One line of `maps`.

    `start` and `end` are byte addresses, `perms` is as in "rw-p", `offset` counts bytes into the
    file, `device` is "major:minor" in hexadecimal, `raw_name` is what the kernel wrote (with its
    own escapes of newlines), and `name` is the same fit to be shown, never empty.
    """

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    raw_name: bytes
    name: str
    kind: VmaKind

    @property
    def size_bytes(self) -> int:
        """Length of the mapping."""
        return self.end - self.start

    @property
    def is_private(self) -> bool:
        """Whether writes stay in this process (copy on write)."""
        return self.perms[3] == "p"

    @property
    def is_readable(self) -> bool:
        """Whether the process itself may read it."""
        return self.perms[0] == "r"


SYSV = b"/SYSV"
"""What the names of shared memory of System V begin with; they go on with its key."""

_NEVER_DUMPED = (VmaKind.VVAR, VmaKind.VSYSCALL)
_KERNELS_OWN = (VmaKind.VDSO, *_NEVER_DUMPED)


@dataclass(frozen=True, eq=False)
class Maps:
    """All mappings of one process at one moment, ascending by address."""

    vmas: tuple[Vma, ...] = ()
    starts: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    """First page number of each VMA."""
    ends: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    """Page number after the last of each VMA."""

    @classmethod
    def of(cls, vmas: tuple[Vma, ...]) -> Maps:
        """Index these VMAs."""
        # The address of [vsyscall] needs 64 bits; its page number fits a signed one.
        starts = np.fromiter((vma.start >> PAGE_SHIFT for vma in vmas), np.int64, len(vmas))
        ends = np.fromiter((vma.end >> PAGE_SHIFT for vma in vmas), np.int64, len(vmas))
        starts.flags.writeable = ends.flags.writeable = False
        return cls(vmas, starts, ends)

    @cached_property
    def pages(self) -> PageSet:
        """Every page of every mapping, resident or not."""
        return PageSet(self.starts, self.ends)

    @cached_property
    def private(self) -> PageSet:
        """Every page of the private mappings."""
        return self.where([vma.is_private for vma in self.vmas])

    @cached_property
    def dumpable(self) -> PageSet:
        """Every page, resident or not, of the mappings whose memory a checkpoint saves as private.

        Shared mappings are objects of their own; the kernel's data pages are nobody's
        (criu/include/vma.h, vma_area_is_private).
        """
        return self.where([vma.is_private and vma.kind not in _NEVER_DUMPED for vma in self.vmas])

    @cached_property
    def private_files(self) -> PageSet:
        """Every page of private mappings of files."""
        return self.where([vma.inode != 0 and vma.is_private for vma in self.vmas])

    @cached_property
    def anonymous(self) -> PageSet:
        """Every page of private mappings of no file, without what the kernel puts there."""
        return self.where(
            [vma.is_private and vma.inode == 0 and vma.kind not in _KERNELS_OWN for vma in self.vmas]
        )

    @cached_property
    def vdso(self) -> PageSet:
        """The kernel's code in user space: a checkpoint saves all of it, to compare at restore."""
        return self.of_kind(VmaKind.VDSO)

    @cached_property
    def huge(self) -> PageSet:
        """Private hugetlb mappings, which a checkpoint saves whole and only at its end."""
        return self.where([vma.kind is VmaKind.HUGETLB and vma.is_private for vma in self.vmas])

    def of_kind(self, kind: VmaKind) -> PageSet:
        """Every page of the mappings of one kind."""
        return self.where([vma.kind is kind for vma in self.vmas])

    @property
    def user_span(self) -> tuple[int, int]:
        """First page number and the one after the last, without [vsyscall], which lies beyond user space."""
        if not self.vmas:
            return 0, 0
        last = -2 if self.vmas[-1].kind is VmaKind.VSYSCALL and len(self.vmas) > 1 else -1
        return int(self.starts[0]), int(self.ends[last])

    def where(self, chosen: list[bool]) -> PageSet:
        """The pages of the VMAs for which `chosen` is true; one entry per VMA."""
        mask = np.array(chosen, dtype=np.bool_)
        return PageSet(self.starts[mask], self.ends[mask])

    def count(self, pages: PageSet) -> Int64Array:
        """How many of these pages lie in each VMA, shape (number of VMAs,).

        The same as `pages.count_within(self.starts, self.ends)`, at a cost that follows the ranges of
        `pages` and not the number of VMAs.
        """
        first = np.searchsorted(self.ends, pages.starts, side="right")
        touched = np.searchsorted(self.starts, pages.ends, side="left") - first
        # One row for each VMA that a range touches: most touch one.
        origin = np.repeat(np.arange(len(touched)), touched)
        within = np.arange(len(origin)) - np.repeat(np.cumsum(touched) - touched, touched)
        rows = first[origin] + within
        starts = np.maximum(pages.starts[origin], self.starts[rows])
        ends = np.minimum(pages.ends[origin], self.ends[rows])
        counts = np.bincount(rows, weights=ends - starts, minlength=len(self.vmas))
        return counts.astype(np.int64)

    def index_at(self, page: int) -> int | None:
        """Which VMA holds this page number, if any."""
        at = int(np.searchsorted(self.starts, page, side="right")) - 1
        return at if at >= 0 and page < int(self.ends[at]) else None


class MapsReader:
    """Reads the map of one process repeatedly."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._raw = b""
        self._seen: dict[bytes, Vma] = {}
        self._maps = Maps()

    def read(self) -> Maps:
        """The map as it is now; the very same object as last time if nothing has changed.

        Raises:
            TargetGone: the process has exited.
            NotPermitted: its map is not ours to read.
        """
        raw = self._read_file(f"/proc/{self.pid}/maps") or self._read_file(memory_file(self.pid, "maps"))
        if raw != self._raw:
            # Names may hold every byte but this one, which the kernel escapes: nothing else ends a line.
            lines = raw.split(b"\n")[:-1]
            seen = self._seen
            # Parsing is what costs; a line seen before is the VMA it was before.
            fresh = {line: seen.get(line) or parse_line(line) for line in lines}
            self._seen = fresh
            self._maps = Maps.of(tuple(fresh[line] for line in lines))
            self._raw = raw
        return self._maps

    def _read_file(self, path: str) -> bytes:
        with kernel_errors(self.pid, "read its memory map"), open(path, "rb", 0) as file:
            return file.readall() or b""


def read_maps(pid: int) -> Maps:
    """The map of a process, once. Errors as of `MapsReader.read`."""
    return MapsReader(pid).read()


def parse_line(line: bytes) -> Vma:
    """One line of `maps`, without its newline.

    Five fields with one space behind each, padding, and a name, which is everything else: a file's name
    may hold any other blank (fs/proc/task_mmu.c, show_map_vma).
    """
    bounds, perms, offset, device, inode, padded_name = line.split(b" ", 5)
    raw_name = padded_name.lstrip(b" ")
    start, _, end = bounds.partition(b"-")
    shown = perms.decode("ascii")
    number = int(inode)
    kind = _kind(raw_name, number, shown)
    return Vma(
        int(start, 16),
        int(end, 16),
        shown,
        int(offset, 16),
        device.decode("ascii"),
        number,
        raw_name,
        printable(raw_name) if raw_name else f"[{kind.value}]",
        kind,
    )


_SPECIAL = {
    b"[heap]": VmaKind.HEAP,
    b"[stack]": VmaKind.STACK,
    b"[vdso]": VmaKind.VDSO,
    b"[vvar]": VmaKind.VVAR,
    b"[vvar_vclock]": VmaKind.VVAR,
    b"[vsyscall]": VmaKind.VSYSCALL,
}


def _kind(name: bytes, inode: int, perms: str) -> VmaKind:
    # Of shared memory of System V the inode is its identifier, and the first one is 0 (ipc/shm.c, newseg).
    if inode == 0 and not name.startswith(SYSV):
        if not name:
            # glibc and the dynamic loader reserve and fence with inaccessible anonymous memory.
            return VmaKind.GUARD if perms.startswith("---p") else VmaKind.ANON
        if name.startswith(b"[anon:"):
            return VmaKind.NAMED_ANON
        return _SPECIAL.get(name, VmaKind.SPECIAL)
    if name.startswith(b"/memfd:"):
        return VmaKind.MEMFD
    if name.startswith((b"/anon_hugepage", b"/dev/hugepages/")):
        return VmaKind.HUGETLB
    if perms[3] == "p":
        return VmaKind.FILE_PRIVATE
    if name.startswith((b"/dev/zero", SYSV, b"/dev/shm/", b"[anon_shmem:")):
        return VmaKind.SHMEM
    return VmaKind.FILE_SHARED
