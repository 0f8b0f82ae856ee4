"""Which pages of one process were moved to where they are since the image that they may be left to.

A tracker that sees moves as writes needs none of it, and has `NO_MOVES`.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from engine.kernel.pagemap import Pagemap
from engine.pageset import EMPTY, PageSet
from engine.tracking.frame_marks import NO_MARKS, FrameMarks


class Moves(Protocol):
    """Tells moved pages that do not show as written."""

    @property
    def marks(self) -> FrameMarks:
        """Of the image under way, or else the last good one."""
        ...

    def moved(self, clean: PageSet) -> PageSet:
        """Which of the clean pages may have been moved. Raises TargetGone."""
        ...

    def begin_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        """An image of these pages is begun, of which none has been copied yet.

        Returns:
            The pages that may have been moved since the image before was begun, or one under way.

        Raises:
            TargetGone: the process has exited.
        """
        ...

    def begin_last_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        """The same of the last image, which no other is compared with."""
        ...

    def finish_link(self) -> None:
        """The image under way is the last good one."""
        ...

    def abandon_link(self) -> None:
        """The image under way did not come to be."""
        ...

    def adopt(self, marks: FrameMarks) -> None:
        """An earlier program took these when it began its last image."""
        ...


@final
class FrameWatch:
    """Moves, told by the page frames that stood there when an image was begun."""

    def __init__(self, pagemap: Pagemap) -> None:
        """Nothing is known yet, and everything may have been moved."""
        self._pagemap = pagemap
        self._of_last = NO_MARKS
        self._under_way: FrameMarks | None = None

    @property
    def marks(self) -> FrameMarks:
        """See `Moves.marks`."""
        return self._of_last if self._under_way is None else self._under_way

    def moved(self, clean: PageSet) -> PageSet:
        """See `Moves.moved`."""
        return self._of_last.moved(self._pagemap, clean)

    def begin_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        """See `Moves.begin_link`."""
        # What is moved after this moment is found by the next image, whatever is found now.
        return self._begin(FrameMarks.take(self._pagemap, dumpable), dumpable, clean)

    def begin_last_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        """See `Moves.begin_last_link`."""
        return self._begin(NO_MARKS, dumpable, clean)

    def _begin(self, marks: FrameMarks, dumpable: PageSet, clean: PageSet) -> PageSet:
        moved = self.moved(clean)
        if self._under_way is not None:
            moved |= self._under_way.moved(self._pagemap, dumpable)
        self._under_way = marks
        return moved

    def finish_link(self) -> None:
        """See `Moves.finish_link`."""
        self._of_last = self.marks
        self._under_way = None

    def abandon_link(self) -> None:
        """See `Moves.abandon_link`."""
        self._under_way = None

    def adopt(self, marks: FrameMarks) -> None:
        """See `Moves.adopt`."""
        self._of_last = marks
        self._under_way = None


@final
class _NoMoves:
    """No page was ever moved without showing as written."""

    marks = NO_MARKS

    def moved(self, clean: PageSet) -> PageSet:
        return EMPTY

    def begin_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        return EMPTY

    def begin_last_link(self, dumpable: PageSet, clean: PageSet) -> PageSet:
        return EMPTY

    def finish_link(self) -> None:
        pass

    def abandon_link(self) -> None:
        pass

    def adopt(self, marks: FrameMarks) -> None:
        pass


NO_MOVES: Final[Moves] = _NoMoves()
