"""The rule that every image rests on: a page is left out only if the last good image holds it as it is now.

Such a page is clean; any other page in use is pending. A page becomes clean only when an image is complete,
and only if nothing has happened to it since the moment that the image was begun as of. A page that something
happens to is therefore taken from two sets at once: the clean pages, and the pages that the image under way
may make clean. Nothing else in dirtytop decides what is left out.

Pure: the caller looks at the process, and tells what was seen in the order in which it was seen.
"""

from __future__ import annotations

from typing import final

from engine.pageset import EMPTY, PageSet


@final
class CleanPages:
    """Which pages of one process the last good image holds as they are now."""

    def __init__(self) -> None:
        self._clean = EMPTY
        self._unchanged: PageSet | None = None
        """The pages of the image under way that nothing has happened to since it was begun; None if none is
        under way."""

    @property
    def pages(self) -> PageSet:
        """The clean pages. An image lists every one of them."""
        return self._clean

    @property
    def is_relied_on(self) -> bool:
        """Whether an image, complete or under way, relies on every write being seen."""
        return bool(self._clean) or self._unchanged is not None

    # -- what happens to the process

    def note_written(self, pages: PageSet) -> None:
        """These were written, or taken for written."""
        self._clean -= pages
        if self._unchanged is not None:
            self._unchanged -= pages

    def keep_within(self, mapped: PageSet) -> None:
        """Only these are mapped. What comes in the place of another page is another page."""
        self._clean &= mapped
        if self._unchanged is not None:
            self._unchanged &= mapped

    def lose_track(self) -> None:
        """Any page may have been written without our seeing it."""
        self.keep_within(EMPTY)

    # -- what happens to images

    def begin_link(self, dumpable: PageSet) -> tuple[PageSet, PageSet]:
        """An image of this moment is begun. One that was under way is no longer waited for.

        Args:
            dumpable: the pages that a complete checkpoint of this moment consists of.

        Returns:
            Those that the image must hold itself, and those that it leaves to the image before.
        """
        # Should the earlier one finish all the same, it vouches for nothing that changed since it was begun.
        self._unchanged = dumpable if self._unchanged is None else dumpable & self._unchanged
        return dumpable - self._clean, dumpable & self._clean

    def finish_link(self, covered: PageSet) -> None:
        """The image under way is complete; without one, nothing is clean.

        Args:
            covered: what it lists: pages that it holds as they were when it was begun, or later; and
                pages that it leaves to the image before, as told by `begin_link`.
        """
        self._clean = EMPTY if self._unchanged is None else covered & self._unchanged
        self._unchanged = None

    def abandon_link(self) -> None:
        """The image under way did not come to be. What was clean and has not changed still is."""
        self._unchanged = None

    def forget(self) -> None:
        """The images that these pages were left to are no longer built upon, nor is one under way."""
        self._clean = EMPTY
        self._unchanged = None

    def adopt(self, covered: PageSet) -> None:
        """An image that an earlier program made holds these pages as they are now."""
        self._clean = covered
        self._unchanged = None
