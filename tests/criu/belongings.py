"""A process that owns something of one kind, keeps using it, and can tell whether it still is what it was.

Run as a script: `belongings.py KIND DIRECTORY`. Standard library only. For each line on standard input it
looks at what it owns, uses it once more, and answers "ok" or what is wrong.
"""

from __future__ import annotations

import mmap
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PAGE = mmap.PAGESIZE
Check = Callable[[], bool]


def private_memory() -> Iterator[bool]:
    """Pages in several mappings: written, only read, and never touched."""
    areas = [mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for pages in (1, 300, 2000)]
    rounds = 0
    for area in areas:
        area[: len(area) // 2 : PAGE] = b"%c" % 7 * len(range(0, len(area) // 2, PAGE))
    while True:
        yield all(
            area[offset] == (7 + rounds if offset < len(area) // 2 else 0)
            for area in areas
            for offset in range(0, len(area), PAGE)
        )
        rounds = (rounds + 1) % 100
        for area in areas:
            for offset in range(0, len(area) // 2, PAGE):
                area[offset] = 7 + rounds


def an_open_file(directory: Path) -> Iterator[bool]:
    """A file that is read and written through one descriptor, whose position counts."""
    with open(directory / "file", "w+b", buffering=0) as file:
        file.write(b"0123456789" * 1000)
        at = 5
        file.seek(at)
        while True:
            expected = b"0123456789"[at % 10 : at % 10 + 1]
            yield file.tell() == at and file.read(1) == expected
            at += 1


def a_deleted_file(directory: Path) -> Iterator[bool]:
    """A file without a name."""
    with open(directory / "deleted", "w+b", buffering=0) as file:
        os.unlink(directory / "deleted")
        content = b"still here" * 500
        file.write(content)
        while True:
            yield os.pread(file.fileno(), len(content) + 1, 0) == content
            content = content[::-1]
            os.pwrite(file.fileno(), content, 0)


def a_pipe() -> Iterator[bool]:
    """A pipe with data under way."""
    reading, writing = os.pipe()
    sent = os.urandom(9000)
    while True:
        os.write(writing, sent)
        yield os.read(reading, 20000) == sent
        sent = os.urandom(9000)


def a_socket_pair() -> Iterator[bool]:
    """Two sockets joined to one another, with a message under way."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = 0
    while True:
        ours.send(b"message %d" % number)
        yield theirs.recv(100) == b"message %d" % number
        number += 1


def a_memfd() -> Iterator[bool]:
    """Memory with a descriptor, also mapped."""
    descriptor = os.memfd_create("belonging")
    os.truncate(descriptor, 50 * PAGE)
    mapped = mmap.mmap(descriptor, 50 * PAGE)
    number = 1
    while True:
        mapped[:] = struct.pack("<Q", number) * (50 * PAGE // 8)
        yield os.pread(descriptor, PAGE, 49 * PAGE) == struct.pack("<Q", number) * (PAGE // 8)
        number += 1


def threads() -> Iterator[bool]:
    """Four threads that count, each in memory of its own."""
    counts = [0] * 4
    memories = [mmap.mmap(-1, 20 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in counts]
    wrong: list[int] = []

    def count(number: int) -> None:
        memory = memories[number]
        while True:
            at = counts[number] % 20 * PAGE
            if memory[at] != counts[number] // 20 % 256:
                wrong.append(number)
            memory[at] = (counts[number] // 20 + 1) % 256
            counts[number] += 1
            time.sleep(0.001)

    for number in range(len(counts)):
        threading.Thread(target=count, args=(number,), daemon=True).start()
    before = list(counts)
    while True:
        while any(now <= then for now, then in zip(counts, before, strict=True)):
            time.sleep(0.001)
        before = list(counts)
        yield not wrong


def a_tree() -> Iterator[bool]:
    """A child and a grandchild, joined by pipes, each with memory of its own and some of all three."""
    shared = mmap.mmap(-1, 10 * PAGE)
    shared[: 2 * PAGE] = b"s" * 2 * PAGE
    to_child, from_child = _fork_server(shared, depth=2)
    number = 0
    while True:
        os.write(to_child, b"%04d" % number)
        yield os.read(from_child, 100) == b"%04d ok" % number and shared[:4] == b"%04d" % number
        number += 1


def _fork_server(shared: mmap.mmap, depth: int) -> tuple[int, int]:
    """A child that passes a number on to its own child, and answers when that has."""
    child_reads, we_write = os.pipe()
    we_read, child_writes = os.pipe()
    if os.fork():
        os.close(child_reads)
        os.close(child_writes)
        return we_write, we_read
    os.close(we_write)
    os.close(we_read)
    own = mmap.mmap(-1, 100 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    own[:] = b"%d" % depth * len(own)
    below = _fork_server(shared, depth - 1) if depth > 1 else None
    while message := os.read(child_reads, 100):
        fine = own[:] == b"%d" % depth * len(own) and shared[PAGE] == ord("s")
        if below:
            os.write(below[0], message)
            fine = fine and os.read(below[1], 100) == message + b" ok"
        else:
            shared[: len(message)] = message
        os.write(child_writes, message + (b" ok" if fine else b" wrong"))
    os._exit(0)


def a_python_program() -> Iterator[bool]:
    """Objects of all sorts, rebuilt from what they were."""
    ours, theirs = random.Random(1), random.Random(1)
    table: dict[str, list[int]] = {}
    while True:
        for _ in range(500):
            table.setdefault(f"key {ours.randrange(3000)}", []).append(ours.getrandbits(64))
        again: dict[str, list[int]] = {}
        theirs.seed(1)
        while sum(map(len, again.values())) < sum(map(len, table.values())):
            again.setdefault(f"key {theirs.randrange(3000)}", []).append(theirs.getrandbits(64))
        yield again == table


KINDS: dict[str, Callable[[Path], Iterator[bool]]] = {
    "private memory": lambda directory: private_memory(),
    "an open file": an_open_file,
    "a deleted file": a_deleted_file,
    "a pipe": lambda directory: a_pipe(),
    "a socket pair": lambda directory: a_socket_pair(),
    "a memfd": lambda directory: a_memfd(),
    "threads": lambda directory: threads(),
    "a tree": lambda directory: a_tree(),
    "a Python program": lambda directory: a_python_program(),
}


def main() -> None:
    kind, directory = sys.argv[1:]
    owned = KINDS[kind](Path(directory))
    print("ok" if next(owned) else "wrong", flush=True)
    while True:
        line = os.read(0, 1)
        if line == b"\n":
            print("ok" if next(owned) else "wrong", flush=True)


if __name__ == "__main__":
    main()
