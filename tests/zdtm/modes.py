"""What is done to a test program between its start and its end."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Mode(Enum):
    """Three of them are controls: what fails there says nothing of dirtytop."""

    PLAIN = "plain"
    """CRIU dumps and restores it."""
    SPLICED = "spliced"
    """`dirtytop checkpoint --engine spliced` with pre-dumps, its dump ends it, and CRIU restores it."""
    CRIU = "criu"
    """`dirtytop checkpoint --engine criu` without pre-dumps, and CRIU restores it."""
    PLAIN_LEFT = "plain, left"
    """CRIU dumps it, and it runs on."""
    LEFT = "left"
    """As by `spliced`, but it runs on, and has to be as it was."""
    UNTOUCHED = "untouched"
    """Nothing."""
    HARM = "harm"
    """It is watched and pre-dumped and dumped by dirtytop alone, runs on, and has to be as it was."""

    @property
    def is_restored(self) -> bool:
        """Whether it is ended and restored."""
        return self in (Mode.PLAIN, Mode.SPLICED, Mode.CRIU)

    @property
    def control(self) -> Mode | None:
        """Where it has to pass for a failure to be ours."""
        return _CONTROLS.get(self)


_CONTROLS: Final = {
    Mode.SPLICED: Mode.PLAIN,
    Mode.CRIU: Mode.PLAIN,
    Mode.LEFT: Mode.PLAIN_LEFT,
    Mode.HARM: Mode.UNTOUCHED,
}
