"""What the images hold of one process as it is now: the rule of `CleanPages`, told all that may break it.

Trackers tell of writes, and of pages that may have changed without one. Some trackers miss memory that was
moved to where other memory was: `Moves` tells of that, and each image is begun and finished with both.
"""

from __future__ import annotations

from typing import final

from engine.kernel.pagemap import Pagemap
from engine.pageset import EMPTY, PageSet
from engine.tracking.clean_pages import CleanPages
from engine.tracking.frame_marks import FrameMarks
from engine.tracking.moves import NO_MOVES, FrameWatch
from engine.tracking.tracker import Collected


@final
class SavedPages:
    """Which pages are clean, and the images that make them so."""

    def __init__(self) -> None:
        """There is no image yet."""
        self._clean = CleanPages()
        self._moves = NO_MOVES

    def watch_moves(self, pagemap: Pagemap) -> None:
        """The tracker does not see moves: from now on they are told by page frames."""
        self._moves = FrameWatch(pagemap)

    @property
    def clean(self) -> PageSet:
        """The pages that the last good image holds as they are, as far as has been noted."""
        return self._clean.pages

    @property
    def is_relied_on(self) -> bool:
        """Whether an image, complete or under way, relies on every write being seen."""
        return self._clean.is_relied_on

    @property
    def marks(self) -> FrameMarks:
        """What tells which pages were moved since the last image was begun, if the tracker misses moves."""
        return self._moves.marks

    # -- what happens to the process

    def note(self, collected: Collected) -> None:
        """The tracker has looked."""
        if collected.cleared_by_others:
            self._clean.lose_track()
        self._clean.note_written(collected.written)
        self._clean.note_written(collected.doubtful)

    def note_moves(self) -> None:
        """Look for moved pages: they are not what the image holds in their place. Raises TargetGone."""
        self._clean.note_written(self._moves.moved(self._clean.pages))

    def keep_within(self, mapped: PageSet) -> None:
        """Only these pages are mapped."""
        self._clean.keep_within(mapped)

    # -- what happens to images

    def begin_link(self, dumpable: PageSet) -> tuple[PageSet, PageSet]:
        """See `CleanPages.begin_link`. Raises TargetGone."""
        self._clean.note_written(self._moves.begin_link(dumpable, self._clean.pages))
        return self._clean.begin_link(dumpable)

    def begin_last_link(self, dumpable: PageSet) -> tuple[PageSet, PageSet]:
        """The same for the last image, which no other is compared with."""
        self._clean.note_written(self._moves.begin_last_link(dumpable, self._clean.pages))
        return self._clean.begin_link(dumpable)

    def begin_link_unseen(self) -> None:
        """An image of a process without a tracker is begun: nothing of it can become clean."""
        self._clean.begin_link(EMPTY)

    def expect_link(self, mapped: PageSet) -> None:
        """CRIU is about to make an image of these pages. What it holds of them is known once it is there."""
        self._clean.begin_link(mapped)

    def finish_link(self, covered: PageSet) -> None:
        """See `CleanPages.finish_link`."""
        self._clean.finish_link(covered)
        self._moves.finish_link()

    def abandon_link(self) -> None:
        """See `CleanPages.abandon_link`."""
        self._clean.abandon_link()
        self._moves.abandon_link()

    def forget(self) -> None:
        """See `CleanPages.forget`."""
        self._clean.forget()
        self._moves.abandon_link()

    def adopt(self, covered: PageSet, marks: FrameMarks) -> None:
        """An image that an earlier program made holds these pages as they are now, but for moved ones.

        Args:
            covered: the pages.
            marks: taken when that image was begun.

        Raises:
            TargetGone: the process has exited.
        """
        self._clean.adopt(covered)
        self._moves.adopt(marks)
        self.note_moves()
