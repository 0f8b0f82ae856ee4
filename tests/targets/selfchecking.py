"""A process that judges itself: every page has a shadow that says what must be in it.

Run as a script: `selfchecking.py PAGES THREADS`. Each thread rewrites random pages of its own and
compares random ones with their shadow. For each line on standard input it compares every page and
answers `ROUNDS WRONG`: how often pages were rewritten so far, and how many pages were ever wrong.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import sys
import threading
import time

PAGE = mmap.PAGESIZE


class Area:
    """The pages of one thread, and the seed each was last filled from."""

    def __init__(self, pages: int, seed: int) -> None:
        self.memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.shadow = [0] * pages
        self.rng = random.Random(seed)
        self.rounds = 0
        self.wrong = 0
        self.lock = threading.Lock()
        for page in range(pages):
            self.rewrite(page)

    def content(self, page: int) -> bytes:
        return self.shadow[page].to_bytes(8, "little") * (PAGE // 8)

    def rewrite(self, page: int) -> None:
        self.shadow[page] = self.rng.getrandbits(60)
        ctypes.memmove(self.address + page * PAGE, self.content(page), PAGE)

    def check(self, page: int) -> None:
        if ctypes.string_at(self.address + page * PAGE, PAGE) != self.content(page):
            self.wrong += 1

    def live(self) -> None:
        while True:
            began_s = time.monotonic()
            with self.lock:
                for _ in range(16):
                    page = self.rng.randrange(len(self.shadow))
                    self.check(page)
                    self.rewrite(page)
                    self.rounds += 1
            # Where the CPU is slow, others shall have it too.
            time.sleep(max(0.0005, 2 * (time.monotonic() - began_s)))

    def check_all(self) -> None:
        with self.lock:
            for page in range(len(self.shadow)):
                self.check(page)


def main() -> None:
    pages, threads = int(sys.argv[1]), int(sys.argv[2])
    areas = [Area(pages // threads, seed) for seed in range(threads)]
    for area in areas:
        threading.Thread(target=area.live, daemon=True).start()
    print("0 0", flush=True)
    for _ in sys.stdin:
        for area in areas:
            area.check_all()
        print(sum(area.rounds for area in areas), sum(area.wrong for area in areas), flush=True)


if __name__ == "__main__":
    main()
