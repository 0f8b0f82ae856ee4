"""Where a chain goes: the directory is typed or browsed for, and looked at before anything is written."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Checkbox, Input, Static

from engine.printable import printable
from engine.units import say_bytes
from tui.backend import Backend, Tracking
from tui.directory import DirectoryReport, examine_directory
from tui.screens.choice import Tick
from tui.words import going_on_text

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.earlier import EarlierChain


class PlaceChoice(Vertical):
    """A line for the directory, what is known of it, and whether to go on with a chain that is in it.

    Args:
        path: where the chain goes unless the user says otherwise.
        backend: knows chains.
        tracking: the target; None: nothing is looked at.
        trusts: whether others may be able to exchange the directory.
    """

    class Changed(Message):
        """Another directory, another answer, or more is known."""

    class Examined(Message):
        """What is known of a directory."""

        def __init__(self, report: DirectoryReport) -> None:
            super().__init__()
            self.report = report

    def __init__(self, path: Path, backend: Backend, tracking: Tracking | None, *, trusts: bool) -> None:
        super().__init__(id="place")
        # A path the user chose may hold what cannot be typed or shown; the line shows it printable.
        self.path = path
        """What the user wants: for a new chain, or to go on with the one that is there."""
        self._fixed: Path | None = None
        self._backend = backend
        self._tracking = tracking
        self._trusts = trusts
        self._report: DirectoryReport | None = None

    def compose(self) -> ComposeResult:
        """The line, the question whether to go on, and how much room there is."""
        yield Static("directory", markup=False, classes="label")
        with Horizontal(classes="row"):
            yield Input(printable(str(self.path)), id="directory", compact=True, select_on_focus=False)
            yield Button(Content("Browse"), id="browse", compact=True)
        yield Tick("", id="there", compact=True)
        yield Static("", id="space", markup=False)

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.query_one("#there").display = False

    # What is chosen.

    def fix(self, directory: Path | None) -> None:
        """Leave no choice, for a chain that is gone on with stays where it is; None: leave it again."""
        self._fixed = directory
        line = self.query_one("#directory", Input)
        line.disabled = self.query_one("#browse").disabled = directory is not None
        line.value = printable(str(self._where))
        self._examine()

    @property
    def _where(self) -> Path:
        return self._fixed if self._fixed is not None else self.path

    @property
    def earlier(self) -> EarlierChain | None:
        """The chain in the directory, if one can go on with it."""
        return None if self._fixed is not None or self._report is None else self._report.earlier

    @property
    def is_there(self) -> bool:
        """Whether to go on with that chain."""
        return self.earlier is not None and self.query_one("#there", Tick).value

    @property
    def problem(self) -> str:
        """Why no chain can go there, printable; empty if one can, as far as is known."""
        if self._fixed is not None:
            return ""
        if self._report is not None and self._report.problem:
            return self._report.problem
        if self.earlier is not None and not self.is_there:
            return "it holds a chain already: go on with it, or choose another directory"
        return ""

    @property
    def is_possible(self) -> bool:
        """Whether the path can be one, whatever is there."""
        return self._where.is_absolute()

    def browse(self) -> None:
        """Choose the directory in a tree."""
        if self._fixed is None:
            from tui.screens.dump.browse import BrowseScreen

            self.app.push_screen(BrowseScreen(self.path), self._browsed)

    def _browsed(self, chosen: Path | None) -> None:
        if chosen is None:
            return
        # What is chosen is where the chain's own directory is made, unless it is empty itself.
        self.path = chosen / self.path.name
        self.query_one("#directory", Input).value = printable(str(self.path))
        self._examine()

    @on(Button.Pressed, "#browse")
    def _browse(self, event: Button.Pressed) -> None:
        event.stop()
        self.browse()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._fixed is None and event.value != printable(str(self.path)):
            self.path = Path(os.path.expanduser(event.value.strip()))
        self._examine()

    @on(Checkbox.Changed)
    def _ticked(self, event: Checkbox.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    # What is known.

    def _examine(self) -> None:
        """Look in a thread: a directory on a server that is gone would hold up everything else."""
        path, tracking = self._where, self._tracking
        self._report = None
        self.post_message(self.Changed())
        if tracking is None:
            return
        find_chain = partial(self._backend.examine_chain, tracking)

        def look() -> None:
            self.post_message(self.Examined(examine_directory(path, find_chain, trusts=self._trusts)))

        threading.Thread(target=look, name="examine directory", daemon=True).start()

    @on(Examined)
    def _examined(self, message: Examined) -> None:
        message.stop()
        if message.report.path == self._where:
            self._report = message.report
            self.post_message(self.Changed())

    def show_state(self, problem: str, needed_bytes: int) -> None:
        """Say what speaks against the whole answer, or whether there is room.

        Args:
            problem: printable; empty if nothing is known to.
            needed_bytes: what would be written.
        """
        earlier, report = self.earlier, self._report
        there = self.query_one("#there", Tick)
        there.display = earlier is not None
        if earlier is not None:
            there.label = Content(going_on_text(earlier))
        if problem:
            said = Content.styled(f"✗ {problem}", "$error")
        elif report is None:
            said = Content()
        else:
            is_enough = report.free_bytes >= needed_bytes
            said = Content.styled(
                f"{'✓' if is_enough else '!'} {say_bytes(report.free_bytes)} free,"
                f" about {say_bytes(needed_bytes)} needed",
                "$success" if is_enough else "$warning",
            )
        self.query_one("#space", Static).update(said)
