"""Pages that only we make dirty: they tell whether another program clears soft-dirty bits.

There is one soft-dirty bit a page, for everybody. While the target is stopped for our clear, one byte
of some pages that nobody writes is written back to itself through `/proc/PID/mem`: they are dirty from
then on. If one ever reads clean, a clear has happened that was not ours, whatever else was or was not
written, and what we believe to be clean may not be.

The dynamic loader has written these pages and then made them read-only (RELRO): they are present, private
to the process, and out of the program's own reach. Which of them are made dirty is drawn for each epoch,
and the others must stay clean: that also tells the epoch from one that another dirtytop began, which has
planted a canary too. Where there are no such pages, the last page of the stack, with the environment's end,
comes nearest.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

from engine.errors import kernel_errors
from engine.kernel.exclusive_pages import find_exclusive
from engine.kernel.maps import Maps, Vma, VmaKind
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.process import memory_file
from engine.pageset import PAGE_SHIFT, PageSet

_MOST_PAGES_OF_MAPPING = (4 << 20) >> PAGE_SHIFT
_MOST_PAGES = 32
_TELLING_PAGES = 6


@dataclass(frozen=True, slots=True)
class Canary:
    """Which pages are dirty in this epoch, and which are not. Page numbers, ascending."""

    planted: tuple[int, ...]
    """Made dirty by us; at least one."""
    left: tuple[int, ...] = ()
    """Must stay clean."""

    @property
    def is_telling(self) -> bool:
        """Whether it tells this epoch from all others, and not only an epoch from none."""
        return len(self.planted) + len(self.left) >= _TELLING_PAGES

    def fits(self, maps: Maps) -> bool:
        """Whether its pages are where the process does not write, by a map read after it was chosen.

        A map and a pagemap are two looks: in between the dynamic loader may have put writable memory where a
        file was. Whatever the process then wrote would pass for a foreign clear.
        """
        rows = [maps.index_at(page) for page in (*self.planted, *self.left)]
        return all(row is not None and _is_place(maps.vmas[row]) for row in rows)

    def is_intact(self, pagemap: Pagemap) -> bool:
        """Whether it still is as we left it. A planted page that is gone tells nothing good either.

        Raises:
            TargetGone: the process has exited.
        """
        return all(pagemap.are_soft_dirty(self.planted)) and not any(pagemap.are_soft_dirty(self.left))


def choose(pagemap: Pagemap, maps: Maps) -> Canary | None:
    """Draw a canary for the next epoch, other than the one there now; None if there is no place for one.

    Raises:
        TargetGone: the process has exited.
    """
    pages = _out_of_reach(pagemap, maps)
    if not pages:
        stacks = [vma for vma in maps.vmas if vma.kind is VmaKind.STACK]
        return Canary(((stacks[0].end >> PAGE_SHIFT) - 1,)) if stacks else None
    if len(pages) == 1:
        return Canary(tuple(pages))
    dirty = pagemap.read(PageSet.from_pages(pages).ranges()).pages(with_all=Category.SOFT_DIRTY)
    while True:
        drawn = secrets.randbits(len(pages))
        planted = tuple(page for at, page in enumerate(pages) if drawn >> at & 1)
        if planted and PageSet.from_pages(planted) != dirty:
            return Canary(planted, tuple(page for at, page in enumerate(pages) if not drawn >> at & 1))


def _out_of_reach(pagemap: Pagemap, maps: Maps) -> list[int]:
    """Pages that the process cannot write to and shows no file by, ascending; of very many the first.

    To write to a page that processes share after a fork ends the sharing. Of shared pages no more are
    therefore taken than make a canary telling, and the same ones each time.
    """
    own: list[PageSet] = []
    for vma in maps.vmas:
        if _is_out_of_reach(vma):
            span = vma.start >> PAGE_SHIFT, vma.end >> PAGE_SHIFT
            own.append(pagemap.read([span]).pages(with_all=Category.PRESENT, without=Category.FILE))
            if sum(pages.count for pages in own) >= _MOST_PAGES:
                break
    pages = PageSet.union_all(own)
    exclusive = find_exclusive(pagemap, pages).exclusive
    shared = (pages - exclusive).pages()[: max(0, _TELLING_PAGES - exclusive.count)]
    return sorted([*exclusive.pages()[:_MOST_PAGES].tolist(), *shared.tolist()])


def _is_out_of_reach(vma: Vma) -> bool:
    is_small = (vma.size_bytes >> PAGE_SHIFT) <= _MOST_PAGES_OF_MAPPING
    return vma.perms == "r--p" and vma.inode != 0 and is_small


def _is_place(vma: Vma) -> bool:
    return _is_out_of_reach(vma) or vma.kind is VmaKind.STACK


def plant(pid: int, canary: Canary) -> bool:
    """Make its pages dirty and leave their content as it is; the target must be stopped.

    Returns:
        Whether the kernel let us.

    Raises:
        TargetGone: the process has exited.
    """
    with kernel_errors(pid, "write to its memory"):
        descriptor = os.open(memory_file(pid, "mem"), os.O_RDWR | os.O_CLOEXEC)
        try:
            for page in canary.planted:
                address = page << PAGE_SHIFT
                os.pwrite(descriptor, os.pread(descriptor, 1, address), address)
        except OSError as error:
            # EIO where the page is gone or the kernel lets no one write to read-only memory.
            if isinstance(error, ProcessLookupError):
                raise
            return False
        finally:
            os.close(descriptor)
    return True
