"""The log of the program that made a link, or failed to: CRIU's."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from engine.errors import BadImage
from engine.images.files import open_image, reading
from engine.printable import printable
from tui.desk import Desk
from tui.keys import key
from widgets.event_log import Severity
from widgets.text_lines import TextLines

_MOST_BYTES: Final = 1 << 20
_Line = tuple[str, Severity]


class MakerLogScreen(ModalScreen[None]):
    """A log file, from the cause of a failure on, if it tells of one; only looked at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,L,enter", "dismiss", "Close", "app.close", shown="esc"),
    ]

    class Read(Message):
        """What the file says."""

        def __init__(self, lines: tuple[_Line, ...], cause: int) -> None:
            super().__init__()
            self.lines = lines
            self.cause = cause

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def compose(self) -> ComposeResult:
        """The text alone."""
        text = TextLines(classes="dialog wide")
        text.border_title = Content(printable(str(self._path)))
        text.border_subtitle = Content("Esc closes")
        yield text

    def on_mount(self) -> None:
        """Read it, in a thread of its own: the disk may be slow."""
        threading.Thread(target=self._read, name="read log", daemon=True).start()

    def _read(self) -> None:
        lines = read_log(self._path)
        self.post_message(self.Read(tuple(lines), cause_in(lines)))

    @on(Read)
    def _show(self, message: Read) -> None:
        self.query_one(TextLines).show_lines(message.lines, message.cause)


def read_log(path: Path) -> list[_Line]:
    """The lines of a log, each with how grave it is; of a very long one the end."""
    try:
        # Not what a link leads to, nor what never ends: others may be able to write where it lies.
        with open_image(path) as fd, reading(path), open(fd, "rb", closefd=False) as file:
            size = os.fstat(fd).st_size
            file.seek(max(0, size - _MOST_BYTES))
            text = file.read(_MOST_BYTES)
    except BadImage as error:
        return [(error.message, "error")]
    lines = [(printable(line), _severity(line)) for line in text.splitlines()]
    if size > _MOST_BYTES:
        lines[0] = (f"… {size - _MOST_BYTES:,} bytes before this are left out", "warning")
    return lines or [("it is empty", "information")]


def cause_in(lines: Sequence[_Line]) -> int:
    """The index of the line that says why it failed; 0 if none does."""
    from engine.checkpoint.criu.log import find_cause

    for at, (text, severity) in enumerate(lines):
        # One line at a time, each is either known to be harmless, or a consequence, or the cause.
        if severity == "error" and find_cause(text.encode()) is not None:
            return at
    return 0


def _severity(line: bytes) -> Severity:
    """As CRIU marks its lines (criu/log.c)."""
    if b"Error (" in line:
        return "error"
    return "warning" if b"Warn " in line else "information"


def show_maker_log(app: App[Any], desk: Desk, path: Path | None) -> None:
    """Open a log, or say that there is none."""
    if path is None:
        desk.tell("There is no log: only CRIU writes one.", severity="warning")
    else:
        app.push_screen(MakerLogScreen(path))
