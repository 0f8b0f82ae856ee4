"""The process behind a demo target: writes pages at a known rate until its starter is gone.

Run by `engine.workloads.start` as a script of its own (`python -I -S writer.py NAME FD SIZE=N…`), so it
imports nothing but the standard library and starts within a few hundredths of a second. FD is one end of
a socket pair: it carries one line of JSON when the memory is mapped and filled, another for each byte
received (a question about its progress), and its end of file, which comes when the starter closes its
end or dies, ends the writer. With -1 there is no such channel.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import itertools
import mmap
import os
import random
import select
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

STEP_MS: Final = 20
"""Pages are written in small steps, so that a rate holds over any interval one may look at."""

NO_CHANNEL: Final = -1
"""Given as the descriptor: nobody will ask, and only the starter's end ends it, a while later."""
_ALONE_STEPS: Final = 300_000 // STEP_MS

_PAGE: Final = mmap.PAGESIZE
_MAP_NORESERVE: Final = 0x4000  # Python names it from 3.13 on
_PR_SET_VMA: Final = 0x53564D41
_PR_SET_VMA_ANON_NAME: Final = ctypes.c_ulong(0)
_PROT_NONE: Final = 0
_LATE_S: Final = 1.0

Span = tuple[int, int, int]
"""The pid that writes there, the address, the address after."""


class Writes(Protocol):
    """One way of writing memory."""

    def step(self, number: int) -> int:
        """Do step `number` (from 0) and return how many pages were written."""
        ...

    def spans(self) -> list[Span]:
        """Where it writes."""
        ...


class Region:
    """An anonymous private mapping under a name of its own, written one byte a page."""

    def __init__(self, pages: int, name: str, fenced: bool = True) -> None:
        # The page after it is made inaccessible: neighbours would become one mapping, and nobody
        # could see from outside which of them is written.
        size = (pages + fenced) * _PAGE
        self.pages = pages
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        byte = ctypes.c_char.from_buffer(self._memory)
        self.start = ctypes.addressof(byte)
        del byte  # or the mapping could not be closed
        self.end = self.start + pages * _PAGE
        try:
            # A huge page is tracked as one: 512 pages would read as written for each that was.
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a kernel that has no huge pages
                raise
        libc = ctypes.CDLL(None)
        if fenced:
            libc.mprotect(ctypes.c_ulong(self.end), ctypes.c_ulong(_PAGE), _PROT_NONE)
        # Only a help to the eye, and not on every kernel (CONFIG_ANON_VMA_NAME).
        length = ctypes.c_ulong(pages * _PAGE)
        libc.prctl(
            _PR_SET_VMA,
            _PR_SET_VMA_ANON_NAME,
            ctypes.c_ulong(self.start),
            length,
            ctypes.c_char_p(name.encode()),
        )

    def fill(self) -> None:
        """Make every page present."""
        self.write(0, self.pages, 1, 1)

    def write(self, first: int, count: int, stride: int, value: int) -> None:
        """Write to `count` pages from page `first` on, `stride` pages apart."""
        end = (first + (count - 1) * stride) * _PAGE + 1
        self._memory[first * _PAGE : end : stride * _PAGE] = bytes((value & 0xFF,)) * count

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()


class Cycle:
    """Writes the pages of a region in turn, every `stride`-th, again and again."""

    def __init__(self, region: Region, stride: int = 1) -> None:
        self.region = region
        self._stride = stride
        self._slots = region.pages // stride
        self._next = 0
        self._round = 2

    def advance(self, count: int) -> int:
        """Write the next `count` pages; returns `count`."""
        left = count
        while left:
            run = min(left, self._slots - self._next)
            self.region.write(self._next * self._stride, run, self._stride, self._round)
            left -= run
            self._next += run
            if self._next == self._slots:
                self._next = 0
                self._round += 1
        return count

    def spans(self) -> list[Span]:
        """The region."""
        return [(os.getpid(), self.region.start, self.region.end)]


def due(number: int, pages_per_s: int) -> int:
    """How many pages step `number` has to write for the rate to come out exactly over many steps."""
    return (number + 1) * pages_per_s * STEP_MS // 1000 - number * pages_per_s * STEP_MS // 1000


class Paced:
    """A cycle over a region at a steady rate."""

    def __init__(self, cycle: Cycle, pages_per_s: int, cold: Region | None = None) -> None:
        self._cycle, self._rate, self._cold = cycle, pages_per_s, cold

    def step(self, number: int) -> int:
        """Go on through the region."""
        return self._cycle.advance(due(number, self._rate))

    def spans(self) -> list[Span]:
        """The region."""
        return self._cycle.spans()


class Bursts:
    """Writes for a while, then is quiet for a while."""

    def __init__(self, writes: Writes, burst_ms: int, quiet_ms: int) -> None:
        self._writes = writes
        self._burst_steps = max(1, burst_ms // STEP_MS)
        self._quiet_steps = quiet_ms // STEP_MS

    def step(self, number: int) -> int:
        """Write in the burst, do nothing after it."""
        is_quiet = number % (self._burst_steps + self._quiet_steps) >= self._burst_steps
        return 0 if is_quiet else self._writes.step(number)

    def spans(self) -> list[Span]:
        """Where it writes in its bursts."""
        return self._writes.spans()


class Zipf:
    """Writes pages drawn at random, the n-th of them n times as seldom as the first."""

    def __init__(self, hot_pages: int, pages_per_s: int, cold: Region | None = None) -> None:
        self._region, self._rate, self._cold = _filled(hot_pages, "zipf"), pages_per_s, cold
        self._dice = random.Random(1)  # the same pages in each run
        self._places = self._dice.sample(range(hot_pages), hot_pages)
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, hot_pages + 1)))

    def step(self, number: int) -> int:
        """Write as many as are due; one may come twice."""
        count = due(number, self._rate)
        for page in self._dice.choices(self._places, cum_weights=self._weights, k=count):
            self._region.write(page, 1, 1, number)
        return count

    def spans(self) -> list[Span]:
        """The region."""
        return [(os.getpid(), self._region.start, self._region.end)]


class Growing:
    """Maps and fills chunk after chunk, until it gives everything back and begins anew."""

    def __init__(self, limit_pages: int, chunk_pages: int, pages_per_s: int) -> None:
        self._limit, self._chunk, self._rate = limit_pages, chunk_pages, pages_per_s
        self._chunks: list[Region] = []
        self._filled = chunk_pages  # of the last chunk; there is none to go on with yet

    def step(self, number: int) -> int:
        """Fill on, mapping more as needed."""
        count = left = due(number, self._rate)
        while left:
            if self._filled == self._chunk:
                self._add_chunk()
            run = min(left, self._chunk - self._filled)
            self._chunks[-1].write(self._filled, run, 1, number)
            self._filled += run
            left -= run
        return count

    def _add_chunk(self) -> None:
        if (len(self._chunks) + 1) * self._chunk > self._limit:
            for chunk in self._chunks:
                chunk.close()
            self._chunks.clear()
        self._chunks.append(Region(self._chunk, "growing", fenced=False))
        self._filled = 0

    def spans(self) -> list[Span]:
        """The chunks mapped now."""
        return [(os.getpid(), chunk.start, chunk.end) for chunk in self._chunks]


class Tour:
    """One way of writing after the other, each for a while, and then from the beginning again.

    The phase can be read in the process's name from outside: it needs no channel, so that a restored one
    goes on telling.
    """

    def __init__(
        self,
        cold_pages: int,
        hot_pages: int,
        burst_pages: int,
        steady_ms: int,
        burst_ms: int,
        quiet_ms: int,
        growing_ms: int,
    ) -> None:
        burst = Cycle(_filled(burst_pages, "burst"))
        seconds = growing_ms // 1000 + 1
        grows = hot_pages // 2
        # The small set and the large one, each written twice over in a second.
        self._phases: list[tuple[str, int, Writes | None]] = [
            ("steady", steady_ms // STEP_MS, steady(cold_pages, hot_pages, 2 * hot_pages)),
            ("burst", burst_ms // STEP_MS, Paced(burst, 2 * burst_pages)),
            ("quiet", quiet_ms // STEP_MS, None),
            ("growing", growing_ms // STEP_MS, Growing(grows * seconds, grows, grows)),
        ]
        self._at, self._left = -1, 0

    def step(self, number: int) -> int:
        """A step of the present phase."""
        while not self._left:
            self._at = (self._at + 1) % len(self._phases)
            name, self._left, _ = self._phases[self._at]
            _set_name(f"tour-{name}")
        self._left -= 1
        writes = self._phases[self._at][2]
        return writes.step(number) if writes is not None else 0

    def spans(self) -> list[Span]:
        """Where it writes in any phase."""
        return [span for _, _, writes in self._phases if writes is not None for span in writes.spans()]


class ForkTree:
    """A parent and its children, each with memory of its own; now and then one is replaced.

    The children step when the parent does: a byte down their pipe asks for a step, a byte back
    says that it is done, and the pipe's end of file ends them.
    """

    def __init__(
        self, children: int, cold_pages: int, hot_pages: int, pages_per_s: int, lifetime_ms: int
    ) -> None:
        self._sizes = (cold_pages, hot_pages, pages_per_s)
        self._lifetime_steps = lifetime_ms // STEP_MS
        self._children: list[_Child] = []
        for _ in range(children):
            self._add_child(0)
        self._own: Writes | None = steady(*self._sizes)

    def step(self, number: int) -> int:
        """One step in each process."""
        if self._lifetime_steps and number and number % self._lifetime_steps == 0 and self._children:
            self._children.pop(0).end()
            self._add_child(number)
        asked = [child for child in self._children if child.ask()]
        written = self._own.step(number) if self._own else 0
        for child in asked:
            written += child.answer()
        for child in [child for child in self._children if child.has_exited]:
            child.end()
            self._children.remove(child)
        return written

    def spans(self) -> list[Span]:
        """The hot set of each process."""
        return [*(self._own.spans() if self._own else ()), *(child.span for child in self._children)]

    def _add_child(self, number: int) -> None:
        self._children.append(_Child(self, number))

    def run_child(self, orders: int, answers: int, number: int) -> None:
        """What a child does until its parent closes the pipe."""
        for sibling in self._children:
            sibling.close()  # or it would outlive us by our copy of its pipe
        self._own = None  # its memory is a copy of our parent's
        own = steady(*self._sizes)
        ((_, start, end),) = own.spans()
        os.write(answers, b"%d %d\n" % (start, end))
        while os.read(orders, 1):
            os.write(answers, own.step(number).to_bytes(4, "little"))
            number += 1


class _Child:
    def __init__(self, tree: ForkTree, number: int) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self.close()
            try:
                tree.run_child(orders, answers, number)
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)
        self.has_exited = False
        start, _, end = os.read(self._answers, 64).partition(b" ")
        if not end:
            raise OSError(errno.ENOMEM, "a child could not map its memory")
        self.span = (self._pid, int(start), int(end))

    def ask(self) -> bool:
        """Have it do a step; false if somebody has killed it."""
        try:
            os.write(self._orders, b".")
        except BrokenPipeError:
            self.has_exited = True
        return not self.has_exited

    def answer(self) -> int:
        """Wait for that step: how many pages it wrote."""
        answer = os.read(self._answers, 4)
        self.has_exited = not answer
        return int.from_bytes(answer, "little")

    def close(self) -> None:
        """Let go of its pipes: it ends by itself."""
        os.close(self._orders)
        os.close(self._answers)

    def end(self) -> None:
        """End it and wait until it has exited."""
        self.close()
        os.waitpid(self._pid, 0)


def _filled(pages: int, name: str) -> Region:
    region = Region(pages, name)
    region.fill()
    return region


def steady(cold_pages: int, hot_pages: int, pages_per_s: int) -> Writes:
    """A hot set beside memory that is left alone."""
    cold = _filled(cold_pages, "cold") if cold_pages else None
    return Paced(Cycle(_filled(hot_pages, "hot set")), pages_per_s, cold)


def zipf(cold_pages: int, hot_pages: int, pages_per_s: int) -> Writes:
    """Some pages much more often than others, beside memory that is left alone."""
    return Zipf(hot_pages, pages_per_s, _filled(cold_pages, "cold") if cold_pages else None)


def sequential(buffer_pages: int, pages_per_s: int) -> Writes:
    """One pass after the other over all of a buffer."""
    return Paced(Cycle(_filled(buffer_pages, "buffer")), pages_per_s)


def bursts(cold_pages: int, hot_pages: int, pages_per_s: int, burst_ms: int, quiet_ms: int) -> Writes:
    """A hot set that is written some of the time."""
    return Bursts(steady(cold_pages, hot_pages, pages_per_s), burst_ms, quiet_ms)


def sparse(reserved_pages: int, hot_pages: int, pages_per_s: int) -> Writes:
    """A few pages, far apart, in a mapping larger than any machine's memory."""
    cycle = Cycle(Region(reserved_pages, "sparse"), stride=reserved_pages // hot_pages)
    cycle.advance(hot_pages)
    return Paced(cycle, pages_per_s)


SCENARIOS: Final[dict[str, Callable[..., Writes]]] = {
    "steady": steady,
    "sequential": sequential,
    "zipf": zipf,
    "bursts": bursts,
    "growing": Growing,
    "sparse": sparse,
    "fork-tree": ForkTree,
    "tour": Tour,
}


def run(writes: Writes, channel: int) -> None:
    """Write step after step until `channel` is closed at its other end."""
    number = written = 0

    def report() -> None:
        spans = ",".join(f"[{pid},{start},{end}]" for pid, start, end in writes.spans())
        os.write(channel, f'{{"steps":{number},"pages_written":{written},"spans":[{spans}]}}\n'.encode())

    poll = select.poll()
    poll.register(channel, select.POLLIN)
    starter = os.getppid()
    report()
    next_step = time.monotonic()
    while os.getppid() == starter:
        next_step += STEP_MS / 1000
        now = time.monotonic()
        if now > next_step + _LATE_S:
            next_step = now  # we were stopped: go on at the rate, do not catch up all at once
        while poll.poll(max(0.0, next_step - time.monotonic()) * 1000):
            if not os.read(channel, 1):
                return
            report()
        written += writes.step(number)
        number += 1


def run_alone(writes: Writes) -> None:
    """Write step after step with no channel, until the starter has been gone for long.

    It may have been restored by another program, in which case it runs on for that while.
    """
    number = alone = 0
    starter = os.getppid()
    next_step = time.monotonic()
    while alone < _ALONE_STEPS:
        alone = alone + 1 if os.getppid() != starter else 0
        writes.step(number)
        number += 1
        next_step = max(next_step + STEP_MS / 1000, time.monotonic() - _LATE_S)
        time.sleep(max(0.0, next_step - time.monotonic()))


def _set_name(name: str) -> None:
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def main() -> None:
    """Be the writer that the arguments name."""
    name, channel, sizes = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    gc.disable()
    _set_name(f"demo-{name}")
    try:
        writes = SCENARIOS[name](
            **{key: int(value) for key, _, value in (size.partition("=") for size in sizes)}
        )
    except OSError as error:
        if channel == NO_CHANNEL:
            raise
        os.write(channel, f'{{"error":"{os.strerror(error.errno or 0)}"}}\n'.encode())
        return
    if channel == NO_CHANNEL:
        run_alone(writes)
        return
    try:
        run(writes, channel)
    except (BrokenPipeError, ConnectionResetError):
        return  # the starter went away while we were answering it


if __name__ == "__main__":
    main()
