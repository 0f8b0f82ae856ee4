"""Blocks of lines side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, zip_longest

from rich.cells import cell_len

from widgets.columns import Span, fit_cell

Block = tuple[list[list[Span]], int]
"""Lines, and how many cells they take up at most: what is longer is cut."""


def length_of(spans: Sequence[Span]) -> int:
    """How many cells a line takes up."""
    return sum(cell_len(span.text) for span in spans)


def fit_in_places(blocks: Sequence[Block], places: Sequence[int], width: int, gap: int) -> bool:
    """Whether blocks that begin at these columns leave so many cells between each other."""
    ends = [place + length for place, (_, length) in zip(places, blocks, strict=True)]
    apart = all(end + gap <= after for end, after in zip(ends, places[1:], strict=False))
    return apart and ends[-1] <= width


def leading_that_fit(blocks: Sequence[Block], width: int, gap: int) -> tuple[list[Block], list[int]]:
    """As many of the first blocks as fit with so many cells between, and where they begin."""
    kept: list[Block] = []
    places: list[int] = []
    begins = 0
    for block, length in blocks:
        if begins + length > width:
            break
        kept.append((block, length))
        places.append(begins)
        begins += length + gap
    return kept, places


def placed(blocks: Sequence[Block], places: Sequence[int]) -> list[list[Span]]:
    """The lines of blocks that begin at these columns; the shorter ones are filled up below."""
    lengths = [length for _, length in blocks]
    gaps = [after - before for before, after in pairwise(places)]
    empty: list[Span] = []
    lines = []
    for parts in zip_longest(*(lines for lines, _ in blocks), fillvalue=empty):
        line: list[Span] = []
        for part, length, until in zip(parts, lengths, [*gaps, lengths[-1]], strict=True):
            cut = fit_cell(list(part), length)
            line += [*cut, Span(" " * (until - length_of(cut)))]
        lines.append(line)
    return lines
