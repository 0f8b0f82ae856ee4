"""Buttons to choose with whose state shows without colours too."""

from __future__ import annotations

from textual.widgets import Checkbox, RadioButton


class Choice(RadioButton):
    """One of several: a circle, filled or empty."""

    BUTTON_LEFT = BUTTON_RIGHT = " "

    def watch_value(self) -> None:
        """Fill or empty the circle."""
        self.BUTTON_INNER = "●" if self.value else "○"
        super().watch_value()

    def on_mount(self) -> None:
        """What it was made with is no change."""
        self.BUTTON_INNER = "●" if self.value else "○"


class Tick(Checkbox):
    """Yes or no: a square, filled or empty."""

    BUTTON_LEFT = BUTTON_RIGHT = " "

    def watch_value(self) -> None:
        """Fill or empty the square."""
        self.BUTTON_INNER = "■" if self.value else "□"
        super().watch_value()

    def on_mount(self) -> None:
        """What it was made with is no change."""
        self.BUTTON_INNER = "■" if self.value else "□"
