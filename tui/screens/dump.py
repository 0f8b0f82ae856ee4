"""Where and how to make a link: asked before every dump, and before the first pre-dump of a chain.

Nothing here is dangerous by default: the target runs on, and Enter on a dump's fresh dialog leaves
everything as it is. Killing the target is asked about once more.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, RadioButton, RadioSet, Static

from engine.checkpoint.link import After, Engine
from engine.images.layout import LinkKind
from engine.printable import printable
from tui.desk import Desk
from tui.directory import DirectoryReport, default_directory, examine_directory
from tui.jobs import LinkRequest
from tui.keys import key
from tui.screens.confirm import ConfirmScreen
from tui.target import Target
from tui.words import AFTER, ENGINES, KINDS, link_name
from widgets.units import say_bytes

_BUTTON = {LinkKind.PRE_DUMP: "Pre-dump", LinkKind.DUMP: "Dump"}


class Choice(RadioButton):
    """A radio button whose state shows without colours too."""

    BUTTON_LEFT = BUTTON_RIGHT = " "

    def watch_value(self) -> None:
        """Fill or empty the circle."""
        self.BUTTON_INNER = "●" if self.value else "○"
        super().watch_value()

    def on_mount(self) -> None:
        """What it was made with is no change."""
        self.BUTTON_INNER = "●" if self.value else "○"


class DumpScreen(ModalScreen[LinkRequest | None]):
    """Gives what the user asks for, or None.

    Args:
        desk: for settings and the clock.
        target: what is dumped.
        kind: a dump, or the first pre-dump of a chain.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "dismiss(None)", "Cancel", "app.close", "Leave everything as it is"),
        key("ctrl+s", "make", "Do it", "checkpoint.make", "Do what the dialog says"),
        key("ctrl+o", "browse", "Browse", "checkpoint.browse", "Choose the directory in a tree"),
    ]

    class Examined(Message):
        """What is known of the directory."""

        def __init__(self, report: DirectoryReport) -> None:
            super().__init__()
            self.report = report

    def __init__(self, desk: Desk, target: Target, kind: LinkKind) -> None:
        super().__init__()
        self._desk = desk
        self._target = target
        self._kind = kind
        self._chain = target.open_chain
        # A path the user chose may hold what cannot be typed or shown; the line shows it printable.
        self._path = default_directory(desk, target)
        self._report: DirectoryReport | None = None

    # What is asked.

    def compose(self) -> ComposeResult:
        """The chain, the directory, what becomes of the target."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(
                f"{KINDS[self._kind]} of {printable(self._target.command)} {self._target.pid}"
            )
            dialog.border_subtitle = Content("Esc cancels · Ctrl+S does it")
            if self._chain is not None:
                yield Static("parent", markup=False, classes="label")
                yield RadioSet(
                    Choice(Content(self._going_on()), value=True, id="go-on"),
                    Choice(Content(self._starting_anew()), id="anew"),
                    id="chain-choice",
                    compact=True,
                )
            yield Static("directory", markup=False, classes="label")
            with Horizontal(classes="row"):
                yield Input(printable(str(self._path)), id="directory", compact=True, select_on_focus=False)
                yield Button(Content("Browse"), id="browse", compact=True)
            yield Static("", id="space", markup=False)
            if self._kind is LinkKind.DUMP:
                yield Static("the target, once dumped", markup=False, classes="label")
                yield RadioSet(
                    *(
                        Choice(Content(text), value=after is After.RUN, id=f"after-{after.value}")
                        for after, text in AFTER.items()
                    ),
                    id="after",
                    compact=True,
                )
            engine = Content.assemble(("engine  ", "$foreground 60%"), ENGINES[Engine.MEMORY])
            yield Static(engine, id="engine")
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel"), id="cancel", compact=True)
                yield Button(Content(_BUTTON[self._kind]), id="make", variant="warning", compact=True)

    def on_mount(self) -> None:
        """Put the focus where Enter does no harm, and look at the directory."""
        self.app.clear_notifications()  # a toast would cover the buttons
        self.query_one("#make" if self._kind is LinkKind.PRE_DUMP else "#cancel").focus()
        self._follow_choice()

    def _going_on(self) -> str:
        last = self._target.links[-1]
        return (
            f"go on: link {last.number + 1}, on top of {link_name(last)}"
            f" (writes about {say_bytes(self._target.pending_bytes)})"
        )

    def _starting_anew(self) -> str:
        return f"a new chain, without a parent (writes about {say_bytes(self._target.whole_bytes)})"

    # What is answered.

    @property
    def _goes_on(self) -> bool:
        return self._chain is not None and self.query_one("#go-on", RadioButton).value

    @property
    def _where(self) -> Path:
        return self._chain.directory if self._chain is not None and self._goes_on else self._path

    @property
    def _needed_bytes(self) -> int:
        return self._target.pending_bytes if self._goes_on else self._target.whole_bytes

    @property
    def _after(self) -> After:
        if self._kind is LinkKind.PRE_DUMP:
            return After.RUN
        return next(after for after in After if self.query_one(f"#after-{after.value}", RadioButton).value)

    @on(RadioSet.Changed, "#chain-choice")
    def _follow_choice(self) -> None:
        line = self.query_one("#directory", Input)
        line.disabled = self.query_one("#browse").disabled = self._goes_on
        line.value = printable(str(self._where))
        self._examine()

    @on(Input.Changed, "#directory")
    def _typed(self, event: Input.Changed) -> None:
        if not self._goes_on and event.value != printable(str(self._path)):
            self._path = Path(os.path.expanduser(event.value.strip()))
        self._examine()

    def _examine(self) -> None:
        path = self._where
        self._report = None
        self.query_one("#make").disabled = not path.is_absolute()

        def look() -> None:
            self.post_message(self.Examined(examine_directory(path)))

        # A thread of its own: a directory on a server that is gone would hold up everything else.
        threading.Thread(target=look, name="examine directory", daemon=True).start()

    @on(Examined)
    def _examined(self, message: Examined) -> None:
        report = message.report
        if report.path != self._where:
            return
        self._report = report
        problem = "" if self._goes_on else report.problem
        space = self.query_one("#space", Static)
        self.query_one("#make").disabled = bool(problem)
        needed, free = say_bytes(self._needed_bytes), say_bytes(report.free_bytes)
        if problem:
            space.update(Content.styled(f"✗ {problem}", "$error"))
        elif report.free_bytes < self._needed_bytes:
            space.update(Content.styled(f"! {free} free, about {needed} needed", "$warning"))
        else:
            space.update(Content.styled(f"✓ {free} free, about {needed} needed", "$success"))

    # What is done.

    @on(Button.Pressed, "#browse")
    def action_browse(self) -> None:
        """Choose the directory in a tree."""
        if self._goes_on:
            return
        from tui.screens.browse import BrowseScreen

        self.app.push_screen(BrowseScreen(self._path), self._browsed)

    def _browsed(self, chosen: Path | None) -> None:
        if chosen is None:
            return
        # What is chosen is where the chain's own directory is made, unless it is empty itself.
        self._path = chosen / self._path.name
        self.query_one("#directory", Input).value = printable(str(self._path))
        self._examine()

    @on(Button.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.dismiss(None)

    @on(Input.Submitted, "#directory")
    def _entered(self) -> None:
        self.query_one("#make").focus()

    @on(Button.Pressed, "#make")
    def action_make(self) -> None:
        """Give the answer; ask once more before the target is killed."""
        if self.query_one("#make").disabled:
            return
        if self._after is not After.KILL:
            self._answer()
            return
        question = ConfirmScreen(
            f"Kill {self._target.command} {self._target.pid}?",
            "It is killed once it has been dumped, and this dump cannot be restored from:"
            " it holds memory and registers only.",
            confirm="Dump and kill",
            refuse="Cancel",
        )
        self.app.push_screen(question, lambda sure: self._answer() if sure else None)

    def _answer(self) -> None:
        if self._goes_on:
            self.dismiss(LinkRequest(self._kind, None, self._after))
            return
        self._desk.remember(last_directory=str(self._path.parent))
        self.dismiss(LinkRequest(self._kind, self._path, self._after))
