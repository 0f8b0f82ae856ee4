"""Copying a process's pages into a link: straight to its file, or to memory first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.checkpoint.link import Cancelled, LinkProgress, Progress
from engine.errors import Cancelled as CancelledError
from engine.images.writer import PagesWriter
from engine.kernel.memory import MOST_RANGES, PageBuffer, TargetMemory
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet

CHUNK_BYTES = 4 << 20
"""Between 1 and 4 MiB at a time are quickest; small pieces are many times slower."""


@dataclass(slots=True)
class CopyProgress:
    """Tells how far a link is, and whether it is still wanted."""

    progress: Progress
    cancelled: Cancelled
    total_bytes: int | None = None
    """None while it is not known."""
    done_bytes: int = 0
    read_s: float = 0.0
    """What reading the target's memory took."""

    def advance(self, stage: str, more_bytes: int) -> None:
        """Report, and stop here if the user wants to.

        Raises:
            Cancelled: he does.
        """
        self.done_bytes += more_bytes
        total_bytes = None if self.total_bytes is None else max(self.total_bytes, self.done_bytes)
        self.progress(LinkProgress(stage, self.done_bytes, total_bytes))
        self.check()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count this as reading the target's memory."""
        began_s = time.perf_counter()
        yield
        self.read_s += time.perf_counter() - began_s

    def check(self) -> None:
        """Raise Cancelled if the link is no longer wanted."""
        if self.cancelled():
            raise CancelledError("cancelled: the link was not made, and its pages are pending as before")


def copy_to_file(
    memory: TargetMemory, needed: PageSet, pages: PagesWriter, buffer: PageBuffer, gauge: CopyProgress
) -> PageSet:
    """Copy pages of a running or stopped process straight into a link.

    Returns:
        The pages that were there and could be read; the link holds exactly these.

    Raises:
        LinkFailed, Cancelled: see `PagesWriter.write` and `CopyProgress.advance`.
        TargetGone: the process has exited.
    """
    copied: list[PageSet] = []
    for chunk in needed.chunks(min(buffer.size_bytes, CHUNK_BYTES) >> PAGE_SHIFT, MOST_RANGES):
        with gauge.reading():
            got = memory.read(chunk, buffer)
        with buffer.view[: got.size_bytes] as data:
            pages.write(data, got)
        copied.append(got)
        gauge.advance("copying", chunk.size_bytes)
    return PageSet.union_all(copied)


@dataclass(slots=True)
class Stash:
    """Pages of several processes, copied to memory while they are stopped, to be written afterwards."""

    buffer: PageBuffer
    used_bytes: int = 0
    pieces: dict[object, list[tuple[PageSet, int]]] = field(default_factory=dict)
    """By their owner: which pages, and where in the buffer they stand."""

    def copy(self, whose: object, memory: TargetMemory, needed: PageSet, gauge: CopyProgress) -> PageSet:
        """Copy pages here. Returns those that were there; errors as of `copy_to_file`."""
        copied: list[PageSet] = []
        for chunk in needed.chunks(CHUNK_BYTES >> PAGE_SHIFT, MOST_RANGES):
            with gauge.reading():
                got = memory.read(chunk, self.buffer, self.used_bytes)
            if got:
                self.pieces.setdefault(whose, []).append((got, self.used_bytes))
                self.used_bytes += got.size_bytes
                copied.append(got)
            gauge.check()
        return PageSet.union_all(copied) if copied else EMPTY

    def write(self, whose: object, pages: PagesWriter, gauge: CopyProgress) -> PageSet:
        """Write what was copied of one owner. Returns these pages; errors as of `copy_to_file`."""
        pieces = self.pieces.get(whose, [])
        for held, offset in pieces:
            with self.buffer.view[offset : offset + held.size_bytes] as data:
                pages.write(data, held)
            gauge.advance("writing", held.size_bytes)
        return PageSet.union_all(held for held, _ in pieces)
