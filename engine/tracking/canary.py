"""A page that only we make dirty, to see whether somebody else clears soft-dirty bits.

There is one soft-dirty bit a page, for everybody. While the target is stopped for our clear, one
byte of a page that nobody writes is written back to itself through `/proc/PID/mem`: that page is
dirty from then on. If it ever reads clean, a clear has happened that was not ours, whatever else was
or was not written, and what we believe to be clean may not be.

The page is one that the dynamic loader has written and then made read-only (RELRO): present,
private to the process, and out of the program's own reach. Where there is none, the last page of
the stack, with the environment's end, comes nearest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from engine.errors import kernel_errors
from engine.kernel.maps import Maps, Vma, VmaKind
from engine.kernel.pagemap import Category, Pagemap
from engine.pageset import PAGE_SHIFT

_MOST_PAGES = (4 << 20) >> PAGE_SHIFT


@dataclass(frozen=True, slots=True)
class Canary:
    """The page, and the mapping it was chosen in."""

    page: int
    vma: Vma

    def is_dirty(self, pagemap: Pagemap, maps: Maps) -> bool:
        """Whether it still is as we left it. A page that is gone tells nothing good either.

        Raises:
            TargetGone: the process has exited.
        """
        if maps.index_at(self.page) is None:
            return False
        found = pagemap.read([(self.page, self.page + 1)])
        return bool(found.pages(with_all=Category.SOFT_DIRTY))


def choose(pagemap: Pagemap, maps: Maps) -> Canary | None:
    """The best page for a canary in these mappings; None if there is none.

    Raises:
        TargetGone: the process has exited.
    """
    for vma in maps.vmas:
        if vma.perms == "r--p" and vma.inode and (vma.size_bytes >> PAGE_SHIFT) <= _MOST_PAGES:
            span = vma.start >> PAGE_SHIFT, vma.end >> PAGE_SHIFT
            own = pagemap.read([span]).pages(with_all=Category.PRESENT, without=Category.FILE)
            if own:
                return Canary(int(own.starts[0]), vma)
    stacks = [vma for vma in maps.vmas if vma.kind is VmaKind.STACK]
    return Canary((stacks[0].end >> PAGE_SHIFT) - 1, stacks[0]) if stacks else None


def plant(pid: int, canary: Canary) -> bool:
    """Make the page dirty and leave its content as it is; the target must be stopped.

    Returns:
        Whether the kernel let us.

    Raises:
        TargetGone: the process has exited.
    """
    address = canary.page << PAGE_SHIFT
    with kernel_errors(pid, "write to its memory"):
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, os.pread(descriptor, 1, address), address)
        except OSError as error:
            # EIO where the page is gone or the kernel lets no one write to read-only memory.
            if isinstance(error, ProcessLookupError):
                raise
            return False
        finally:
            os.close(descriptor)
    return True
