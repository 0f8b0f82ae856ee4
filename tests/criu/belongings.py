"""A process that owns something of one kind, keeps using it, and can tell whether it still is what it was.

Run as a script: `belongings.py KIND DIRECTORY`. Standard library only. For each line on standard input it
looks at what it owns, uses it once more, and answers "ok" or what is wrong.
"""

from __future__ import annotations

import ctypes
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


def a_tree(depth: int = 2) -> Iterator[bool]:
    """A child and a grandchild and so on, joined by pipes, each with memory of its own and some of all."""
    shared = mmap.mmap(-1, 10 * PAGE)
    shared[: 2 * PAGE] = b"s" * 2 * PAGE
    to_child, from_child = _fork_server(shared, depth)
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


def children_born_one_by_one() -> Iterator[bool]:
    """Each time another child that has what its parent had then, and memory of its own."""
    own = mmap.mmap(-1, 300 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    children: list[tuple[int, int]] = []
    number = 0
    while True:
        own[:] = bytes([number % 256]) * len(own)
        if len(children) < 5:
            child_reads, we_write = os.pipe()
            we_read, child_writes = os.pipe()
            if os.fork() == 0:
                _remember(own, number, child_reads, child_writes)
            os.close(child_reads)
            os.close(child_writes)
            children.append((we_write, we_read))
        answers = []
        for to_child, from_child in children:
            os.write(to_child, b"?")
            answers.append(os.read(from_child, 100))
        yield answers == [b"ok"] * len(children) and own[:] == bytes([number % 256]) * len(own)
        number += 1


def _remember(inherited: mmap.mmap, number: int, questions: int, answers: int) -> None:
    own = mmap.mmap(-1, 100 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    rounds = 0
    while os.read(questions, 1):
        fine = inherited[:] == bytes([number % 256]) * len(inherited)
        fine = fine and own[:] == bytes([rounds % 256]) * len(own)
        rounds += 1
        own[:] = bytes([rounds % 256]) * len(own)
        os.write(answers, b"ok" if fine else b"wrong")
    os._exit(0)


def a_heap_that_breathes() -> Iterator[bool]:
    """Blocks of all sizes, more and more of them, and then fewer again."""
    rng = random.Random(1)
    blocks: list[tuple[int, bytearray]] = []
    grows = True
    while True:
        yield all(block.count(value) == len(block) for value, block in blocks)
        for _ in range(200):
            if grows:
                value = rng.randrange(256)
                blocks.append((value, bytearray([value]) * rng.randrange(1, 60_000)))
            elif blocks:
                blocks.pop(rng.randrange(len(blocks)))
        grows = not grows


def mappings_that_come_and_go() -> Iterator[bool]:
    """Mappings that are made, written, and gone two rounds later, often where another one was."""
    rng = random.Random(1)
    mapped: list[tuple[int, mmap.mmap]] = []
    while True:
        yield all(area[:] == bytes([value]) * len(area) for value, area in mapped)
        del mapped[:3]
        while len(mapped) < 6:
            value = rng.randrange(256)
            area = mmap.mmap(-1, rng.choice((1, 7, 300)) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            area[:] = bytes([value]) * len(area)
            mapped.append((value, area))


def advised_memory(advice: int) -> Iterator[bool]:
    """Memory with or without transparent huge pages, a part of which changes."""
    area = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(advice)
    area[:] = b"a" * len(area)
    expected = bytearray(area[:])
    rng = random.Random(1)
    while True:
        yield area[:] == expected
        for _ in range(20):
            page = rng.randrange(len(area) // PAGE) * PAGE
            area[page : page + 8] = expected[page : page + 8] = rng.randbytes(8)
        first = rng.randrange(len(area) // PAGE) * PAGE
        length = min(16 * PAGE, len(area) - first)
        area.madvise(mmap.MADV_DONTNEED, first, length)
        expected[first : first + length] = bytes(length)


def locked_memory() -> Iterator[bool]:
    """Memory that may not be swapped, beside some that may."""
    libc = ctypes.CDLL(None, use_errno=True)
    areas = [mmap.mmap(-1, 200 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2)]
    address = ctypes.addressof(ctypes.c_char.from_buffer(areas[0]))
    locked = libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(areas[0]))) == 0
    number = 0
    while True:
        yield locked and all(area[:] == bytes([number % 256]) * len(area) for area in areas)
        number += 1
        for area in areas:
            area[:] = bytes([number % 256]) * len(area)


def pages_of_a_file(directory: Path) -> Iterator[bool]:
    """A private mapping of a file, some pages of which are the process's own by now."""
    content = os.urandom(60 * PAGE)
    (directory / "mapped").write_bytes(content)
    with open(directory / "mapped", "rb") as file:
        area = mmap.mmap(file.fileno(), len(content), mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    expected = bytearray(content)
    rng = random.Random(1)
    while True:
        yield area[:] == expected
        page = rng.randrange(60) * PAGE
        area[page : page + 100] = expected[page : page + 100] = rng.randbytes(100)


def an_aio_ring() -> Iterator[bool]:
    """A ring for asynchronous reads and writes, which the kernel maps and writes to."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_up, get_events = {"x86_64": (206, 208), "aarch64": (0, 4)}[os.uname().machine]
    context = ctypes.c_ulong(0)
    made = libc.syscall(set_up, 16, ctypes.byref(context)) == 0
    no_time = (ctypes.c_long * 2)(0, 0)
    while True:
        yield made and libc.syscall(get_events, context, 0, 16, None, no_time) == 0


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
    "a tree of five": lambda directory: a_tree(4),
    "children born one by one": lambda directory: children_born_one_by_one(),
    "a heap that breathes": lambda directory: a_heap_that_breathes(),
    "mappings that come and go": lambda directory: mappings_that_come_and_go(),
    "huge pages": lambda directory: advised_memory(mmap.MADV_HUGEPAGE),
    "no huge pages": lambda directory: advised_memory(mmap.MADV_NOHUGEPAGE),
    "locked memory": lambda directory: locked_memory(),
    "pages of a file": pages_of_a_file,
    "an AIO ring": lambda directory: an_aio_ring(),
    "a Python program": lambda directory: a_python_program(),
}

EVERYWHERE = (
    "private memory",
    "an open file",
    "a pipe",
    "a memfd",
    "threads",
    "a tree of five",
    "a Python program",
)
"""The kinds that every kernel has to bring back."""

HALVES = [(number % 2, kind) for number, kind in enumerate(KINDS)]
QUARTERS = [(number % 4, kind) for number, kind in enumerate(KINDS)]
"""The kinds in batches, for tests that need not all of them on every kernel."""
HALVES_OF_OTHERS = [(first, kind) for first, kind in HALVES if kind not in EVERYWHERE]


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
