"""What a core tells of a process, wherever it was learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PROT_READ: Final = 1
PROT_WRITE: Final = 2
PROT_EXEC: Final = 4

DEFAULT_FILTER: Final = 0x33
"""Which mappings a core holds unless told otherwise (core(5)): anonymous ones, the first page of programs,
and private huge pages."""


@dataclass(frozen=True, slots=True)
class CoreMapping:
    """One mapping."""

    start: int
    """Byte address."""
    end: int
    protection: int
    """`PROT_READ`, `PROT_WRITE`, `PROT_EXEC`."""
    is_shared: bool
    offset: int = 0
    """Bytes into the file, or into the shared memory."""
    name: bytes = b""
    """Of the file, as the kernel tells it, with " (deleted)" where it has no name any more; empty if the
    mapping is of no file, and no shared memory."""
    inode: int = 0
    """Of the file; 0 if that is not known, or there is none."""
    size_bytes: int | None = None
    """Of the file; None if that is not known."""
    object_name: str = ""
    """The pagemap, by its file name, of the shared memory that is mapped; empty if the images have none."""
    is_kernels_own: bool = False
    """[vdso], [vvar] or [vsyscall]."""
    is_left_out: bool = False
    """Whether the program has asked that no core holds it (MADV_DONTDUMP)."""
    is_huge: bool = False
    """Of hugetlbfs."""
    is_device: bool = False

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.start

    @property
    def is_of_file(self) -> bool:
        """Whether it is of a file that may be read by its name."""
        return self.name.startswith(b"/") and not self.is_of_nameless_file

    @property
    def is_of_nameless_file(self) -> bool:
        """Whether it is of a file without a name: shared memory, a memfd, a file that was removed."""
        return self.name.endswith(b" (deleted)")


@dataclass(frozen=True, slots=True)
class CoreThread:
    """One thread."""

    tid: int
    """As the process knows it."""
    sets: tuple[tuple[int, bytes], ...]
    """Its registers by NT_* number of linux/elf.h; the general ones (NT_PRSTATUS) first."""
    pending_signals: int = 0
    blocked_signals: int = 0
    siginfo: bytes = b""
    """`siginfo_t` of the signal that it was about to take; empty if none, or if that is not known."""
    user_us: int = 0
    """Time on a processor, in its program; 0 if not known."""
    system_us: int = 0


@dataclass(frozen=True, slots=True)
class CoreProcess:
    """One process."""

    pid: int
    """As it knows itself."""
    parent_pid: int = 0
    process_group: int = 0
    session: int = 0
    state: str = "R"
    """One letter, as in `/proc/PID/stat`."""
    flags: int = 0
    """The kernel's PF_* bits."""
    nice: int = 0
    uid: int = 0
    gid: int = 0
    command: bytes = b""
    """Its short name."""
    arguments: tuple[int, int] = (0, 0)
    """Where its arguments begin and end."""
    auxv: bytes = b""
    coredump_filter: int = DEFAULT_FILTER
    mappings: tuple[CoreMapping, ...] = ()
    """Ascending."""
    threads: tuple[CoreThread, ...] = ()
    """The leader first; none in a core of a pre-dump."""
    remarks: tuple[str, ...] = field(default=())
    """What one should know of the core, a printable line each: also kept in it, as a note."""
