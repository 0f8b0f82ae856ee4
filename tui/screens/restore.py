"""The command that makes a target again, put where it can be pasted."""

from __future__ import annotations

from typing import Any

from textual.app import App

from engine.checkpoint.link import LinkResult
from engine.printable import printable
from tui.desk import Desk
from tui.words import restore_command


def copy_restore(app: App[Any], desk: Desk, result: LinkResult) -> None:
    """Copy the restore command of a restorable link, and say what was copied."""
    command = restore_command(result)
    app.copy_to_clipboard(command)
    desk.tell(printable(command), title="Copied, if the terminal allows it")
