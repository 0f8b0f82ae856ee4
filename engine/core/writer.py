"""Writes one core: notes first, then the memory, piece by piece, with holes where there are zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.elf import MACHINES, Placed, Segment, head, place
from engine.core.filling import ZEROS, Filler
from engine.core.notes import ARGUMENTS_BYTES, process_notes
from engine.core.out import CoreFile
from engine.core.process import CoreMapping, CoreProcess
from engine.core.selection import Rest, segments_of, wanted_bytes
from engine.errors import NotSupported
from engine.images.memory import ChainMemory
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, Int64Array, PageSet

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total; it may raise to end the work, and nothing remains."""

_WORDS: Final = PAGE_SIZE // 8


@dataclass(frozen=True, slots=True)
class Made:
    """A core that is written."""

    process: CoreProcess
    size_bytes: int
    """As long as the file is."""
    written_bytes: int
    """Of these, what is not a hole."""


class _Part(NamedTuple):
    """Pages of one mapping that come from elsewhere than the process's own memory."""

    filler: Filler
    pages: PageSet


def write_core(
    file: CoreFile,
    machine: str,
    process: CoreProcess,
    memory: ChainMemory,
    filler_of: Callable[[CoreMapping, PageSet], Filler | None],
    chosen: int,
    progress: Progress,
) -> Made:
    """Write all of it; the file gets no name by that.

    Args:
        file: where to.
        machine: the architecture, by the kernel's name.
        process: whose core it is.
        memory: its own pages.
        filler_of: where these other pages of a mapping come from; None: they are not to be had.
        chosen: bits of `selection.Filter`.
        progress: told after each piece.

    Raises:
        BadImage: the memory cannot be read.
        LinkFailed: the disk would not take it.
        NotSupported: it is of an architecture that we make no cores for.
    """
    if machine not in MACHINES:
        raise NotSupported(f"a core for a program of {machine} cannot be made")
    own = memory.pages
    segments: list[Segment] = []
    parts: list[_Part] = []
    missing_bytes = torn_bytes = 0
    for mapping in process.mappings:
        first, end = _page_numbers(mapping)
        held = own.clip(first, end)
        size_bytes = wanted_bytes(mapping, chosen, is_modified=bool(held))
        rest = PageSet.from_ranges([(first, first + (size_bytes >> PAGE_SHIFT))]) - held
        filler = filler_of(mapping, rest) if size_bytes else None
        if filler is not None:
            if filler is not ZEROS:
                parts.append(_Part(filler, rest))
            torn_bytes += rest.size_bytes if filler.is_torn and mapping.is_shared else 0
        elif mapping.is_shared:
            missing_bytes += rest.size_bytes
        segments += segments_of(mapping, size_bytes, held, _kind_of(filler))
    process = replace(process, remarks=(*process.remarks, *_remarks(missing_bytes, torn_bytes)))
    notes = process_notes(process, _arguments(process, memory, own))
    placed = place(segments, len(notes), len(segments))
    beginning = head(MACHINES[machine], notes, placed)
    file.put(0, memoryview(beginning))
    layout = _Layout(placed)
    chosen_pages = own & layout.pages
    total_bytes = (chosen_pages.count + sum(part.pages.count for part in parts)) << PAGE_SHIFT
    done_bytes = 0
    for pages, data in _pieces(memory, chosen_pages, parts):
        layout.put(file, pages, data)
        done_bytes += len(data)
        progress(done_bytes, total_bytes)
    progress(total_bytes, total_bytes)  # behind the end of a file there was nothing to be read
    end = placed[-1].offset + placed[-1].segment.file_bytes if placed else 0
    size_bytes = max(end, len(beginning))
    file.end_at(size_bytes)
    return Made(process, size_bytes, file.written_bytes)


def _kind_of(filler: Filler | None) -> Rest:
    if filler is None:
        return Rest.MISSING
    return Rest.ZEROS if filler is ZEROS else Rest.FOUND


def _remarks(missing_bytes: int, torn_bytes: int) -> Iterator[str]:
    if missing_bytes:
        yield (
            f"without {missing_bytes >> 10} KiB of shared memory: links of ours hold none, and reading it "
            "from a process takes root"
        )
    if torn_bytes:
        yield (
            f"torn: {torn_bytes >> 10} KiB of shared memory were copied while the process ran, right after "
            "it was stopped for the rest"
        )


def _page_numbers(mapping: CoreMapping) -> tuple[int, int]:
    return mapping.start >> PAGE_SHIFT, mapping.end >> PAGE_SHIFT


def _pieces(
    memory: ChainMemory, own: PageSet, parts: Sequence[_Part]
) -> Iterator[tuple[PageSet, memoryview]]:
    if own:
        yield from memory.read(own)
    for part in parts:
        if part.pages:
            yield from part.filler.fill(part.pages)


def _arguments(process: CoreProcess, memory: ChainMemory, own: PageSet) -> bytes:
    """The beginning of its arguments, as they are in its memory."""
    start, end = process.arguments
    end = min(end, start + ARGUMENTS_BYTES)
    if end <= start:
        return b""
    pages = PageSet.from_ranges([(start >> PAGE_SHIFT, ((end - 1) >> PAGE_SHIFT) + 1)])
    if not pages <= own:
        return b""
    data = b"".join(bytes(piece) for _, piece in memory.read(pages))
    at = start & (PAGE_SIZE - 1)
    return data[at : at + end - start]


class _Layout:
    """Finds where in the file each page goes."""

    def __init__(self, placed: Sequence[Placed]) -> None:
        filled = [one for one in placed if one.segment.file_bytes]
        self._starts = _numbers([one.segment.start >> PAGE_SHIFT for one in filled])
        ends = _numbers([(one.segment.start + one.segment.file_bytes) >> PAGE_SHIFT for one in filled])
        self._offsets = _numbers([one.offset >> PAGE_SHIFT for one in filled])
        self.pages = PageSet(self._starts, ends)
        """Those that are in it."""

    def put(self, file: CoreFile, pages: PageSet, data: memoryview) -> None:
        """Write the data of some of them, but for pages of zeros."""
        numbers = pages.pages()
        words = np.frombuffer(data, np.uint64).reshape(len(numbers), _WORDS)
        # A page that holds anything mostly does so in its first words.
        kept: NDArray[np.bool_] = np.array(words[:, :8].any(axis=1))
        unsure = np.flatnonzero(~kept)
        kept[unsure] = words[unsure].any(axis=1)
        at = np.flatnonzero(kept)
        if not len(at):
            return
        numbers = numbers[at]
        rows = np.searchsorted(self._starts, numbers, side="right") - 1
        places = numbers - self._starts[rows] + self._offsets[rows]
        begins = np.ones(len(at), np.bool_)
        begins[1:] = (np.diff(places) != 1) | (np.diff(at) != 1)
        firsts = np.flatnonzero(begins)
        ends = np.append(firsts[1:], len(at))
        for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
            begin = int(at[first]) << PAGE_SHIFT
            size = (end - first) << PAGE_SHIFT
            file.put(int(places[first]) << PAGE_SHIFT, data[begin : begin + size])


def _numbers(values: list[int]) -> Int64Array:
    return np.fromiter(values, np.int64, len(values))
