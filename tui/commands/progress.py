"""The progress of a job, on a terminal's last line."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Final, Self

from engine.checkpoint.link import LinkProgress
from engine.units import say_bytes

_EVERY_S: Final = 0.1
_ERASE_LINE: Final = "\r\x1b[K"


class ProgressLine:
    """Shows one job on stderr while entered, and nothing at all where that is not a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shows = sys.stderr.isatty()
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")

    def show_link(self, progress: LinkProgress) -> None:
        """Show how far a link is."""
        self.show(progress.stage, progress.done_bytes, progress.total_bytes)

    def show(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        """Show this, unless it is too soon after the last; None is a total that is not known."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + _EVERY_S
        of = "" if total_bytes is None else f" {say_bytes(done_bytes)} of {say_bytes(total_bytes)}"
        self._write(f"{self._title}: {stage}{of}")

    def say(self, text: str) -> None:
        """Show this sentence, cut to the width of the terminal."""
        width = shutil.get_terminal_size().columns - 1
        self._write(text if len(text) <= width else f"{text[: width - 1]}…")

    def clear(self) -> None:
        """Show nothing."""
        self._write("")

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal to show it on."""
        return self._shows

    def _write(self, text: str) -> None:
        if self._shows:
            print(_ERASE_LINE + text, end="", file=sys.stderr, flush=True)
