"""Sets of pages, as sorted ranges of page numbers.

Everything dirtytop reasons about is algebra on these sets: present, written, pending, covered by
the parent. A page number is an address divided by `PAGE_SIZE`. Memory and time follow the number
of *ranges*, never the amount of memory they span: 1 TiB in one piece is two integers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import Final, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAGE_SIZE: Final = mmap.PAGESIZE
PAGE_SHIFT: Final = PAGE_SIZE.bit_length() - 1

Int64Array = NDArray[np.int64]

_LOWEST: Final = np.iinfo(np.int64).min
_HIGHEST: Final = np.iinfo(np.int64).max


@final
class PageSet:
    """An immutable set of pages.

    `starts` and `ends` are int64 arrays of page numbers, half-open, ascending, disjoint and never
    touching, so that two equal sets always have equal arrays. Both are read-only.
    """

    __slots__ = ("_below", "ends", "starts")

    starts: Int64Array
    ends: Int64Array

    def __init__(self, starts: ArrayLike = (), ends: ArrayLike = ()) -> None:
        """Make a set of ranges in any order; they may overlap, touch or be empty.

        Args:
            starts: first page number of each range, shape (n,).
            ends: page number after the last of each range, shape (n,).
        """
        starts = np.asarray(starts, dtype=np.int64)
        ends = np.asarray(ends, dtype=np.int64)
        if starts.shape != ends.shape or starts.ndim != 1:
            raise ValueError(
                f"starts and ends must be equally long vectors, got {starts.shape}, {ends.shape}"
            )
        filled = starts < ends
        if not filled.all():
            starts, ends = starts[filled], ends[filled]
        self._adopt(*_joined(np.sort(starts), np.sort(ends)))

    @classmethod
    def _normal(cls, starts: Int64Array, ends: Int64Array) -> PageSet:
        """Wrap arrays that are known to be in normal form."""
        made = cls.__new__(cls)
        made._adopt(starts, ends)
        return made

    def _adopt(self, starts: Int64Array, ends: Int64Array) -> None:
        starts.flags.writeable = False
        ends.flags.writeable = False
        self.starts = starts
        self.ends = ends
        self._below: Int64Array | None = None

    # -- ways to make one

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> PageSet:
        """The union of `(first, end)` pairs of page numbers."""
        pairs = np.array(list(ranges), dtype=np.int64).reshape(-1, 2)
        return cls(pairs[:, 0], pairs[:, 1])

    @classmethod
    def from_pages(cls, pages: ArrayLike) -> PageSet:
        """The set of these page numbers, in any order, repeated or not."""
        numbers = np.asarray(pages, dtype=np.int64)
        return cls(numbers, numbers + 1)

    @classmethod
    def from_addresses(cls, starts: ArrayLike, ends: ArrayLike) -> PageSet:
        """The pages of byte ranges whose bounds are multiples of the page size."""
        # The highest addresses need all 64 bits; their page numbers do not.
        shift = np.uint64(PAGE_SHIFT)
        return cls(
            (np.asarray(starts, np.uint64) >> shift).astype(np.int64),
            (np.asarray(ends, np.uint64) >> shift).astype(np.int64),
        )

    @classmethod
    def union_all(cls, sets: Iterable[PageSet]) -> PageSet:
        """The union of many sets in one pass."""
        parts = list(sets)
        if not parts:
            return cls()
        return cls._normal(
            *_joined(
                np.sort(np.concatenate([part.starts for part in parts]), kind="stable"),
                np.sort(np.concatenate([part.ends for part in parts]), kind="stable"),
            )
        )

    # -- size

    @property
    def count(self) -> int:
        """How many pages."""
        return int((self.ends - self.starts).sum())

    @property
    def size_bytes(self) -> int:
        """How many bytes these pages hold."""
        return self.count << PAGE_SHIFT

    @property
    def range_count(self) -> int:
        """How many separate ranges; what this set costs to keep and to combine."""
        return len(self.starts)

    def __bool__(self) -> bool:
        """True unless the set is empty."""
        return len(self.starts) > 0

    # -- algebra

    def __or__(self, other: PageSet) -> PageSet:
        """Pages in either set."""
        if not other:
            return self
        if not self:
            return other
        return PageSet.union_all((self, other))

    def __and__(self, other: PageSet) -> PageSet:
        """Pages in both sets."""
        if not self or not other:
            return EMPTY
        return PageSet._normal(*_common(self.starts, self.ends, other.starts, other.ends))

    def __sub__(self, other: PageSet) -> PageSet:
        """Pages in this set and not in the other."""
        if not self or not other:
            return self
        gaps_start = np.concatenate(([_LOWEST], other.ends))
        gaps_end = np.concatenate((other.starts, [_HIGHEST]))
        return PageSet._normal(*_common(self.starts, self.ends, gaps_start, gaps_end))

    def __xor__(self, other: PageSet) -> PageSet:
        """Pages in exactly one of the two sets."""
        return (self - other) | (other - self)

    def __le__(self, other: PageSet) -> bool:
        """Whether every page of this set is in the other."""
        if not self or not other:
            return not self
        # No two ranges of a set touch: each of ours has to lie in one of theirs.
        at = np.searchsorted(other.starts, self.starts, side="right") - 1
        return bool(((at >= 0) & (self.ends <= other.ends[at])).all())

    def isdisjoint(self, other: PageSet) -> bool:
        """Whether the two sets have no page in common."""
        return not self & other

    def clip(self, first: int, end: int) -> PageSet:
        """The pages p of this set with first <= p < end."""
        low = int(np.searchsorted(self.ends, first, side="right"))
        high = int(np.searchsorted(self.starts, end, side="left"))
        if low >= high or first >= end:
            return EMPTY
        starts = self.starts[low:high].copy()
        ends = self.ends[low:high].copy()
        starts[0] = max(int(starts[0]), first)
        ends[-1] = min(int(ends[-1]), end)
        return PageSet._normal(starts, ends)

    # -- questions

    def __contains__(self, page: int) -> bool:
        """Whether this page number is in the set."""
        at = int(np.searchsorted(self.starts, page, side="right")) - 1
        return at >= 0 and page < int(self.ends[at])

    def contains_each(self, pages: ArrayLike) -> NDArray[np.bool_]:
        """For each page number whether it is in the set; same shape as `pages`."""
        numbers = np.asarray(pages, dtype=np.int64)
        if not self:
            return np.zeros(numbers.shape, dtype=np.bool_)
        at = np.searchsorted(self.starts, numbers, side="right") - 1
        return np.asarray((at >= 0) & (numbers < self.ends[np.maximum(at, 0)]))

    def count_below(self, bounds: ArrayLike) -> Int64Array:
        """For each bound, how many pages of the set are lower; same shape as `bounds`."""
        bounds = np.asarray(bounds, dtype=np.int64)
        if not self:
            return np.zeros(bounds.shape, dtype=np.int64)
        if self._below is None:
            self._below = np.concatenate(([0], np.cumsum(self.ends - self.starts)))
        at = np.searchsorted(self.starts, bounds, side="right") - 1
        inside = np.maximum(at, 0)
        partial = np.minimum(bounds, self.ends[inside]) - self.starts[inside]
        return np.asarray(np.where(at >= 0, self._below[inside] + partial, 0))

    def count_within(self, starts: ArrayLike, ends: ArrayLike) -> Int64Array:
        """How many pages lie in each of many ranges (VMAs, say), in one pass.

        Args:
            starts: first page number of each range, shape (n,), in any order.
            ends: page number after the last, shape (n,).

        Returns:
            Pages of this set in each range, shape (n,).
        """
        return np.asarray(self.count_below(ends) - self.count_below(starts), dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same pages."""
        if not isinstance(other, PageSet):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def __hash__(self) -> int:
        """Equal sets have equal hashes."""
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    # -- iteration

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Each range as `(first, end)` page numbers, ascending."""
        return zip(self.starts.tolist(), self.ends.tolist(), strict=True)

    def pages(self) -> Int64Array:
        """Every page number, ascending. Costs 8 bytes a page: for tests and for small sets."""
        lengths = self.ends - self.starts
        before = np.cumsum(lengths) - lengths
        within_range = np.arange(lengths.sum(), dtype=np.int64)
        numbers: Int64Array = within_range + np.repeat(self.starts - before, lengths)
        return numbers

    def chunks(self, most_pages: int, most_ranges: int | None = None) -> Iterator[PageSet]:
        """Split into consecutive sets of at most `most_pages` pages and `most_ranges` ranges each."""
        if most_pages < 1 or (most_ranges is not None and most_ranges < 1):
            raise ValueError("a chunk must hold at least one page")
        if not self:
            return
        through = np.cumsum(self.ends - self.starts)
        first, at = int(self.starts[0]), 0
        while at < len(self.starts):
            taken_before = int(through[at]) - (int(self.ends[at]) - first)
            last = int(np.searchsorted(through, taken_before + most_pages, side="left"))
            if last >= len(self.starts):
                last, cut = len(self.starts) - 1, int(self.ends[-1])
            else:
                cut = int(self.ends[last]) - (int(through[last]) - taken_before - most_pages)
            if most_ranges is not None and last - at >= most_ranges:
                last = at + most_ranges - 1
                cut = int(self.ends[last])
            starts = self.starts[at : last + 1].copy()
            ends = self.ends[at : last + 1].copy()
            starts[0], ends[-1] = first, cut
            yield PageSet._normal(starts, ends)
            if cut == self.ends[last]:
                at = last + 1
                first = int(self.starts[at]) if at < len(self.starts) else 0
            else:
                at, first = last, cut

    def __repr__(self) -> str:
        """A few ranges and the total, in hexadecimal page numbers."""
        shown = ", ".join(
            f"{first:#x}-{end:#x}" for first, end in zip(self.starts[:4], self.ends[:4], strict=True)
        )
        more = ", …" if self.range_count > 4 else ""
        return f"<PageSet {self.count} pages: {shown}{more}>"


def _joined(starts: Int64Array, ends: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Normal form of the union of ranges whose starts and ends are each sorted on their own.

    i ranges have begun before starts[i]. They have all ended, and a gap lies here, exactly when
    the i-th smallest end is lower than starts[i].
    """
    if len(starts) == 0:
        return starts, ends
    gap = starts[1:] > ends[:-1]
    return starts[np.concatenate(([True], gap))], ends[np.concatenate((gap, [True]))]


def _common(
    a_starts: Int64Array, a_ends: Int64Array, b_starts: Int64Array, b_ends: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Normal form of the intersection of two sets in normal form.

    At most two ranges are open at any point. The (i+1)-th start opens the second one exactly when
    it is lower than the i-th end, which then is the next to close.
    """
    starts = np.sort(np.concatenate((a_starts, b_starts)), kind="stable")
    ends = np.sort(np.concatenate((a_ends, b_ends)), kind="stable")
    both = starts[1:] < ends[:-1]
    return starts[1:][both], ends[:-1][both]


EMPTY: Final = PageSet()
