"""A question with two answers, of which the harmless one has the focus."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from engine.printable import printable


class ConfirmScreen(ModalScreen[bool]):
    """True if the user confirms.

    Args:
        title: the question; literal.
        text: what will happen; literal.
        confirm: what the dangerous button says.
        refuse: what the safe one says.
    """

    AUTO_FOCUS = "#refuse"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "dismiss(False)", "No"),
        Binding("left,up", "app.focus_previous", "Other answer", show=False),
        Binding("right,down", "app.focus_next", "Other answer", show=False),
    ]

    def __init__(self, title: str, text: str, *, confirm: str, refuse: str) -> None:
        super().__init__()
        self._question = printable(title)
        self._text = printable(text)
        self._confirm = confirm
        self._refuse = refuse

    def compose(self) -> ComposeResult:
        """The question and its answers."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._question)
            dialog.border_subtitle = Content(f"←→ the other · Enter takes it · Esc: {self._refuse}")
            yield Static(self._text, markup=False, classes="text")
            with Horizontal(classes="buttons"):
                yield Button(Content(self._refuse), id="refuse", compact=True)
                yield Button(Content(self._confirm), id="confirm", variant="error", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the answer."""
        event.stop()
        self.dismiss(event.button.id == "confirm")
