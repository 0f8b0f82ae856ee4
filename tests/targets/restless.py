"""A process that keeps changing its memory in every way the kernel offers, at random, until killed.

Run as a script: `restless.py SEED`. Standard library only. It prints one line once it is under way.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import sys
import threading
import time

PAGE = mmap.PAGESIZE
_MREMAP_MAYMOVE = 1
_READ, _WRITE = mmap.PROT_READ, mmap.PROT_WRITE
MOST_MAPPINGS = 24
MOST_CHILDREN = 2

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
libc.mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Mapping:
    """Private anonymous pages, some of them written."""

    def __init__(self, rng: random.Random) -> None:
        self.pages = rng.choice((1, 3, 16, 64, 200, 600))
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.base = libc.mmap(None, self.pages * PAGE, _READ | _WRITE, flags, -1, 0)
        libc.madvise(self.base, self.pages * PAGE, rng.choice((mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE)))
        self.writable = True

    def write(self, rng: random.Random, most: int) -> None:
        if not self.writable:
            return
        hot = max(1, self.pages // rng.choice((1, 2, 8)))
        for _ in range(rng.randrange(most) + 1):
            at = self.base + rng.randrange(hot) * PAGE
            # A whole page, or a few bytes somewhere in it.
            if rng.random() < 0.5:
                ctypes.memset(at, rng.randrange(256), PAGE)
            else:
                ctypes.memset(at + rng.randrange(PAGE - 8), rng.randrange(256), 8)

    def change(self, rng: random.Random) -> None:
        """One change to the mapping itself."""
        part = rng.randrange(self.pages)
        rest = (self.pages - part) * PAGE
        at = self.base + part * PAGE
        match rng.randrange(6):
            case 0:
                libc.madvise(at, rest, mmap.MADV_DONTNEED)
            case 1:
                self.writable = rng.random() < 0.7
                libc.mprotect(self.base, self.pages * PAGE, _READ | (_WRITE if self.writable else 0))
            case 2:
                # Split it into several VMAs for a moment, or for good.
                libc.mprotect(at, rest, _READ)
                if rng.random() < 0.8:
                    libc.mprotect(at, rest, _READ | _WRITE)
                else:
                    self.writable = False
            case 3:
                pages = max(1, self.pages + rng.randrange(-40, 80))
                moved = libc.mremap(self.base, self.pages * PAGE, pages * PAGE, _MREMAP_MAYMOVE)
                if moved not in (None, ctypes.c_void_p(-1).value):
                    self.base, self.pages = moved, pages
                else:
                    self.writable = False  # it had been split: leave it alone
            case 4:
                ctypes.string_at(at, 1)  # only read: the shared zero page, or what is there
            case 5:
                libc.mprotect(self.base, self.pages * PAGE, 0)
                libc.mprotect(self.base, self.pages * PAGE, _READ | _WRITE)
                self.writable = True

    def unmap(self) -> None:
        libc.munmap(self.base, self.pages * PAGE)


def live(rng: random.Random, may_fork: bool) -> None:
    """Change, write, sleep a little, for ever."""
    mappings = [Mapping(rng) for _ in range(6)]
    children: list[int] = []
    for mapping in mappings:
        mapping.write(rng, mapping.pages)
    if may_fork:
        print("under way", flush=True)
    woke_s = time.monotonic()
    while True:
        action = rng.random()
        if action < 0.75:
            rng.choice(mappings).write(rng, 60)
        elif action < 0.90:
            rng.choice(mappings).change(rng)
        elif action < 0.94 and len(mappings) < MOST_MAPPINGS:
            mappings.append(Mapping(rng))
            mappings[-1].write(rng, 30)
        elif action < 0.97 and len(mappings) > 3:
            mappings.pop(rng.randrange(len(mappings))).unmap()
        elif may_fork and action < 0.98 and len(children) < MOST_CHILDREN:
            child = os.fork()
            if child == 0:
                live(random.Random(rng.random()), False)
            children.append(child)
        elif children and action > 0.996:
            os.kill(children[0], 9)
            os.waitpid(children.pop(0), 0)
        if rng.random() < 0.3:
            # Where the CPU is slow, others shall have it too.
            time.sleep(rng.random() * max(0.002, 4 * (time.monotonic() - woke_s)))
            woke_s = time.monotonic()


def write_beside(seed: int) -> None:
    """What the other threads do: they write to mappings of their own."""
    rng = random.Random(seed)
    mapping = Mapping(rng)
    while True:
        began_s = time.monotonic()
        mapping.write(rng, 40)
        time.sleep(rng.random() * max(0.003, 4 * (time.monotonic() - began_s)))


def main() -> None:
    seed = int(sys.argv[1])
    rng = random.Random(seed)
    for number in range(rng.randrange(3)):
        threading.Thread(target=write_beside, args=(seed + number,), daemon=True).start()
    live(rng, True)


if __name__ == "__main__":
    main()
