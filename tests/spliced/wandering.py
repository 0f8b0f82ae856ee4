"""A tree that judges itself while its memory comes and goes: every page it owns has a shadow.

Run as a script: `wandering.py SEED`. Standard library only. Each process rewrites, maps, unmaps, moves,
grows, discards and protects memory at random, and now and then forks; children inherit what their parent
had. All of them write to pages of a memory that they share. For each line on standard input every process
compares every page, and the root answers `ROUNDS WRONG`: how often anything was changed, and how many
pages were ever wrong in any of them.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import select
import struct
import sys
import threading
import time

PAGE = mmap.PAGESIZE
_MREMAP_MAYMOVE = 1
_READ, _WRITE = mmap.PROT_READ, mmap.PROT_WRITE
_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_FAILED = ctypes.c_void_p(-1).value
MOST_MAPPINGS = 20
MOST_PROCESSES = 5
_SHARED_PAGES = 8

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
    """Private anonymous pages; `shadow` has what each is filled with, 0 for one never written."""

    def __init__(self, rng: random.Random) -> None:
        pages = rng.choice((1, 3, 16, 64, 200, 1100))
        self.base = libc.mmap(None, pages * PAGE, _READ | _WRITE, _ANONYMOUS, -1, 0)
        advice = rng.choice((mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE))
        libc.madvise(self.base, pages * PAGE, advice)
        self.shadow = [0] * pages
        self.protection = _READ | _WRITE

    @property
    def size_bytes(self) -> int:
        return len(self.shadow) * PAGE

    def protect(self, protection: int) -> None:
        libc.mprotect(self.base, self.size_bytes, protection)
        self.protection = protection

    def write(self, rng: random.Random, most: int) -> None:
        if not self.protection & _WRITE:
            return
        hot = max(1, len(self.shadow) // rng.choice((1, 2, 8)))
        for _ in range(rng.randrange(most) + 1):
            page = rng.randrange(hot)
            seed = rng.getrandbits(60)
            ctypes.memmove(self.base + page * PAGE, seed.to_bytes(8, "little") * (PAGE // 8), PAGE)
            self.shadow[page] = seed

    def change(self, rng: random.Random) -> None:
        """One change to the mapping itself."""
        match rng.randrange(4):
            case 0:
                first = rng.randrange(len(self.shadow))
                libc.madvise(self.base + first * PAGE, self.size_bytes - first * PAGE, mmap.MADV_DONTNEED)
                self.shadow[first:] = [0] * (len(self.shadow) - first)
            case 1:
                self.protect(rng.choice((_READ, _READ | _WRITE, _READ | _WRITE, 0)))
            case 2:
                pages = max(1, len(self.shadow) + rng.randrange(-40, 80))
                moved = libc.mremap(self.base, self.size_bytes, pages * PAGE, _MREMAP_MAYMOVE)
                if moved not in (None, _FAILED):
                    self.base = moved
                    self.shadow = self.shadow[:pages] + [0] * (pages - len(self.shadow))
            case 3 if self.protection & _READ:
                ctypes.string_at(self.base + rng.randrange(len(self.shadow)) * PAGE, 1)

    def wrong_pages(self) -> int:
        if not self.protection & _READ:
            self.protect(_READ)
        data = ctypes.string_at(self.base, self.size_bytes)
        return sum(
            data[at * PAGE : (at + 1) * PAGE] != seed.to_bytes(8, "little") * (PAGE // 8)
            for at, seed in enumerate(self.shadow)
        )

    def unmap(self) -> None:
        libc.munmap(self.base, self.size_bytes)


class Board:
    """Memory that all processes share: what is asked, what each has answered, and a page for each."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, (1 + MOST_PROCESSES) * _SHARED_PAGES * PAGE)

    def get(self, slot: int) -> int:
        return int(struct.unpack_from("<q", self.memory, slot * 8)[0])

    def put(self, slot: int, value: int) -> None:
        struct.pack_into("<q", self.memory, slot * 8, value)

    def area(self, process: int) -> int:
        return (1 + process) * _SHARED_PAGES * PAGE


_ASKED, _ANSWERED, _ROUNDS, _WRONG = 0, 10, 20, 30


class Wanderer:
    """One process."""

    def __init__(self, seed: int, board: Board) -> None:
        self.rng = random.Random(seed)
        self.board = board
        self.number = 0
        self.mappings = [Mapping(self.rng) for _ in range(6)]
        for mapping in self.mappings:
            mapping.write(self.rng, len(mapping.shadow))
        self.heap: list[tuple[int, bytearray]] = []
        self.shared_shadow = 0
        self.children = 0
        self.rounds = 0
        self.wrong = 0

    def step(self) -> None:
        rng, action = self.rng, self.rng.random()
        self.rounds += 1
        if action < 0.6:
            rng.choice(self.mappings).write(rng, 60)
        elif action < 0.75:
            rng.choice(self.mappings).change(rng)
        elif action < 0.80 and len(self.mappings) < MOST_MAPPINGS:
            self.mappings.append(Mapping(rng))
            self.mappings[-1].write(rng, 30)
        elif action < 0.84 and len(self.mappings) > 3:
            self.mappings.pop(rng.randrange(len(self.mappings))).unmap()
        elif action < 0.90:
            value = rng.randrange(256)
            self.heap.append((value, bytearray([value]) * rng.randrange(1, 200_000)))
        elif action < 0.96 and self.heap:
            self.heap.pop(rng.randrange(len(self.heap)))
        else:
            self.shared_shadow = rng.randrange(256)
            at = self.board.area(self.number)
            self.board.memory[at : at + _SHARED_PAGES * PAGE] = bytes([self.shared_shadow]) * (
                _SHARED_PAGES * PAGE
            )

    def judge(self) -> None:
        self.wrong += sum(mapping.wrong_pages() for mapping in self.mappings)
        self.wrong += sum(block.count(value) != len(block) for value, block in self.heap)
        at = self.board.area(self.number)
        size = _SHARED_PAGES * PAGE
        self.wrong += self.board.memory[at : at + size].count(bytes([self.shared_shadow])) != size
        self.board.put(_ROUNDS + self.number, self.rounds)
        self.board.put(_WRONG + self.number, self.wrong)
        self.board.put(_ANSWERED + self.number, self.board.get(_ASKED))

    def live_as_child(self, number: int) -> None:
        self.number, self.rng, self.shared_shadow = number, random.Random(self.rng.random() + number), 0
        while True:
            if self.board.get(_ANSWERED + number) != self.board.get(_ASKED):
                self.judge()
            self.step()
            time.sleep(self.rng.random() * 0.003)

    def live(self) -> None:
        forks = self.rng.choice((0, 0, 0.01, 0.05))
        while True:
            if select.select([0], [], [], self.rng.random() * 0.002)[0]:
                os.read(0, 1)
                self.answer()
            if self.children + 1 < MOST_PROCESSES and self.rng.random() < forks:
                self.children += 1
                if os.fork() == 0:
                    self.live_as_child(self.children)
            self.step()

    def answer(self) -> None:
        self.board.put(_ASKED, self.board.get(_ASKED) + 1)
        self.judge()
        everybody = range(1 + self.children)
        while any(self.board.get(_ANSWERED + at) != self.board.get(_ASKED) for at in everybody):
            time.sleep(0.001)
        rounds, wrong = (sum(self.board.get(slot + at) for at in everybody) for slot in (_ROUNDS, _WRONG))
        os.write(1, b"%d %d\n" % (rounds, wrong))


def write_beside(seed: int) -> None:
    """What other threads of the root do: they write to memory of their own, and check it."""
    rng = random.Random(seed)
    mapping = Mapping(rng)
    while True:
        mapping.write(rng, 40)
        if mapping.wrong_pages():
            os.abort()
        time.sleep(rng.random() * 0.01)


def main() -> None:
    seed = int(sys.argv[1])
    for number in range(seed % 3):
        threading.Thread(target=write_beside, args=(seed + number,), daemon=True).start()
    wanderer = Wanderer(seed, Board())
    os.write(1, b"0 0\n")
    wanderer.live()


if __name__ == "__main__":
    main()
