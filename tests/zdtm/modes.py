"""What is done to a test program between its start and its end."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """Two of them are controls: what fails there says nothing of dirtytop."""

    PLAIN = "plain"
    """CRIU dumps and restores it."""
    SPLICED = "spliced"
    """`dirtytop checkpoint --engine spliced` with pre-dumps, its dump ends it, and CRIU restores it."""
    CRIU = "criu"
    """`dirtytop checkpoint --engine criu` without pre-dumps, and CRIU restores it."""
    UNTOUCHED = "untouched"
    """Nothing."""
    HARM = "harm"
    """It is watched and pre-dumped and dumped by dirtytop alone, runs on, and has to be as it was."""

    @property
    def is_checkpoint(self) -> bool:
        """Whether dirtytop makes the images that it is restored from."""
        return self in (Mode.SPLICED, Mode.CRIU)

    @property
    def is_restored(self) -> bool:
        """Whether it is ended and restored."""
        return self in (Mode.PLAIN, Mode.SPLICED, Mode.CRIU)

    @property
    def control(self) -> Mode | None:
        """Where it has to pass for a failure to be ours."""
        controls = {Mode.SPLICED: Mode.PLAIN, Mode.CRIU: Mode.PLAIN, Mode.HARM: Mode.UNTOUCHED}
        return controls.get(self)
