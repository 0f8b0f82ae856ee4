"""Our part of a link that is all CRIU's own: to notice when the tree goes on, and to add the sidecar."""

from __future__ import annotations

from collections.abc import Callable

from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.order import OurPart, Terms
from engine.images.stats import DumpStats


class SmallPart(OurPart):
    """As of `OurPart`."""

    def __init__(self, goes_on: Callable[[], None], add: Callable[[CriuDirectory], None]) -> None:
        """Nothing is done yet.

        Args:
            goes_on: called once the tree goes on.
            add: as of `OurPart.add`.
        """
        self._goes_on = goes_on
        self._add = add

    @property
    def terms(self) -> Terms:
        """None but the order's own."""
        return Terms()

    def heard(self, script: str) -> None:
        """Nothing depends on how far CRIU is."""

    def while_frozen(self, directory: CriuDirectory, look: Callable[[], None]) -> None:
        """CRIU saves everything itself."""

    def thawed(self) -> None:
        """Pass it on."""
        self._goes_on()

    def finish(self, directory: CriuDirectory) -> tuple[str, ...]:
        """There is nothing to finish."""
        return ()

    def figures(self, counted: DumpStats) -> DumpStats:
        """No times are known."""
        return counted

    def add(self, directory: CriuDirectory) -> None:
        """Add the sidecar."""
        self._add(directory)
