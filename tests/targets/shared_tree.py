"""A parent with children that have all of its memory too, by fork(2); all of them rest unless asked.

Run as a script: `shared_tree.py PAGES CHILDREN`. Standard library only. It prints where its pages are. For
each line on standard input it writes every fiftieth page anew, compares all, and prints `ok` or `wrong`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys

PAGE = mmap.PAGESIZE


def content(page: int, turn: int) -> bytes:
    """What a page holds that was last written in that turn."""
    return (page << 16 | turn).to_bytes(8, "little") * (PAGE // 8)


def main() -> None:
    pages, children = int(sys.argv[1]), int(sys.argv[2])
    memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    turns = [0] * pages
    for page in range(pages):
        memory[page * PAGE : (page + 1) * PAGE] = content(page, 0)
    for _ in range(children):
        if os.fork() == 0:
            while True:
                signal.pause()
    print(f"{ctypes.addressof(ctypes.c_char.from_buffer(memory)):x}", flush=True)
    for turn, _ in enumerate(sys.stdin, start=1):
        for page in range(turn, pages, 50):
            turns[page] = turn
            memory[page * PAGE : (page + 1) * PAGE] = content(page, turn)
        same = all(
            memory[page * PAGE : (page + 1) * PAGE] == content(page, turns[page]) for page in range(pages)
        )
        print("ok" if same else "wrong", flush=True)


if __name__ == "__main__":
    main()
