"""What copying memory and writing to the chosen directory costs here, found by doing it for a moment.

This is the only part of the forecast that touches the system. Memory is copied from ourselves, the way links
copy it from a target. The file has no name, therefore nothing of it can be left behind; it stays small, and
writing it takes a moment.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from engine.checkpoint.copying import CHUNK_BYTES
from engine.checkpoint.link import Cancelled, never
from engine.errors import Cancelled as CancelledError
from engine.errors import LinkFailed
from engine.forecast.costs.line import CostLine, Timed
from engine.forecast.costs.parts import Parts
from engine.images.files import bypass_page_cache, write_fully
from engine.kernel.memory import MOST_RANGES, PageBuffer, TargetMemory
from engine.kernel.relatives import Relatives
from engine.kernel.urgency import urgent
from engine.pageset import PAGE_SHIFT, PageSet
from engine.printable import printable
from engine.trust.directory import OpenDirectory, open_directory

MOST_FILE_BYTES: Final = 64 << 20
MOST_WRITING_S: Final = 0.5
"""No further piece is begun that would end later than this."""
_PIECE_BYTES: Final = 1 << 20
_COPIED_BYTES: Final = 32 << 20
_APART: Final = _COPIED_BYTES // 2
_SPARE_OF_FREE: Final = 8
"""At most this part of what is free there is filled."""


def probe(directory: Path, cancelled: Cancelled = never) -> Parts:
    """Measure what links will cost, in well under a second.

    Args:
        directory: where links are to be; if it does not exist yet, the nearest above it that does.
        cancelled: asked between pieces.

    Raises:
        LinkFailed: nothing can be written there.
        Cancelled: `cancelled` said so.
    """
    source, buffer = PageBuffer(_COPIED_BYTES), PageBuffer(_COPIED_BYTES)
    reading = CostLine(tuple(_copy(source, buffer, cancelled)))
    touching = CostLine(tuple(_touch()))
    with _opened(directory) as existing:
        writes, syncs = _write(existing, cancelled)
    return Parts(reading, CostLine(writes), CostLine(syncs), touching)


def _touch() -> Iterator[Timed]:
    """Map memory in; it is held until all is measured, or the same would be mapped in again."""
    held: list[PageBuffer] = []
    for size in (_PIECE_BYTES, 4 * _PIECE_BYTES, 8 * _PIECE_BYTES, 8 * _PIECE_BYTES):
        began_s = time.perf_counter()
        held.append(PageBuffer(size))
        yield Timed(size, time.perf_counter() - began_s)


def device_of(directory: Path) -> int:
    """Number of the file system that links to this directory would be on. Raises LinkFailed."""
    with _opened(directory) as existing:
        return os.fstat(existing.fileno()).st_dev


def _copy(source: PageBuffer, buffer: PageBuffer, cancelled: Cancelled) -> Iterator[Timed]:
    """Pieces of our own memory, as far apart as in links: some in one piece, some page by page."""
    first = source.address >> PAGE_SHIFT
    relatives = Relatives()
    # Nobody writes to it, and it is there: as if we were stopped.
    memory = TargetMemory(os.getpid(), relatives, is_stopped=True)
    try:
        for size in (_PIECE_BYTES, _COPIED_BYTES // 8, _COPIED_BYTES // 2):
            for step in (1, 2):
                _refuse_if(cancelled)
                pages = PageSet.from_pages(first + step * np.arange(size >> PAGE_SHIFT))
                # Whoever else uses the machine makes it longer. What makes it shorter is memory that the
                # processor still has at hand, so each goes to another place.
                reads = [partial(_read, memory, pages, buffer, at) for at in range(0, _COPIED_BYTES, _APART)]
                with urgent():
                    took_s = [_duration_s(read) for read in reads]
                yield Timed(size, min(took_s))
    finally:
        memory.close()
        relatives.close()


def _read(memory: TargetMemory, pages: PageSet, buffer: PageBuffer, at: int) -> None:
    for chunk in pages.chunks(CHUNK_BYTES >> PAGE_SHIFT, MOST_RANGES):
        memory.read(chunk, buffer, at)
        at += chunk.size_bytes


def _write(directory: OpenDirectory, cancelled: Cancelled) -> tuple[tuple[Timed, ...], tuple[Timed, ...]]:
    """Write and sync pieces, each twice as large as the one before, while there is time."""
    # What compresses well would be written too fast on file systems that do that.
    buffer = PageBuffer(_PIECE_BYTES)
    buffer.view[:] = os.urandom(_PIECE_BYTES)
    writes: list[Timed] = []
    syncs: list[Timed] = []
    try:
        # It has no name: wherever others have moved the directory, they cannot open it.
        with tempfile.TemporaryFile(dir=f"/proc/self/fd/{directory.fileno()}", buffering=0) as file:
            left = min(MOST_FILE_BYTES, _free_bytes(directory) // _SPARE_OF_FREE)
            fd, size, spent_s, last_s = file.fileno(), _PIECE_BYTES // 8, 0.0, 0.0
            bypass_page_cache(fd)
            while size <= left and (len(writes) < 2 or spent_s + 2 * last_s <= MOST_WRITING_S):
                _refuse_if(cancelled)
                writes.append(Timed(size, _duration_s(partial(_append, fd, buffer.view, size))))
                syncs.append(Timed(size, _duration_s(partial(os.fdatasync, fd))))
                last_s = writes[-1].seconds + syncs[-1].seconds
                spent_s += last_s
                left -= size
                size *= 2
    except OSError as error:
        raise _refusal(directory.path, error) from error
    if len(writes) < 2:
        raise LinkFailed(
            f"{printable(str(directory.path))}: too little space is left there",
            hint="choose another directory",
        )
    return tuple(writes), tuple(syncs)


def _refusal(directory: Path, error: OSError) -> LinkFailed:
    why = os.strerror(error.errno or 0)
    return LinkFailed(
        f"{printable(str(directory))}: cannot write there ({why})", hint="choose another directory"
    )


def _append(fd: int, piece: memoryview, size: int) -> None:
    while size > 0:
        write_fully(fd, piece[:size])
        size -= len(piece)


def _duration_s(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _refuse_if(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError("cancelled: how fast links can be made was not measured")


def _opened(directory: Path) -> OpenDirectory:
    """The directory itself, or the nearest above it that there is; whoever it belongs to."""
    try:
        return open_directory(directory, trusts=True, stops=True)
    except OSError as error:
        raise _refusal(directory, error) from error


def _free_bytes(directory: OpenDirectory) -> int:
    found = os.fstatvfs(directory.fileno())
    return found.f_bavail * found.f_frsize
