"""What can be pressed on the screen below, by subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.help import HelpEntry, help_entries
from tui.keys import key


class HelpScreen(ModalScreen[None]):
    """Shows entries by heading; any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,question_mark,enter", "dismiss", "Close", "app.close", shown="esc"),
        key("T", "tour", "Tour", "app.tour", "A tour of four cards"),
    ]

    def __init__(self, entries: Mapping[str, Sequence[HelpEntry]]) -> None:
        super().__init__()
        self._entries = entries

    @classmethod
    def of(cls, screen: Screen[Any], app: App[Any]) -> HelpScreen:
        """The help for a screen as it is now."""
        return cls(help_entries(screen, app))

    def compose(self) -> ComposeResult:
        """A block for each subject, in two columns of about the same length."""
        headings = list(self._entries)
        lines = [len(self._entries[heading]) + 2 for heading in headings]
        split = next(at for at in range(len(lines) + 1) if 2 * sum(lines[:at]) >= sum(lines))
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = Content("help")
            dialog.border_subtitle = Content("T shows the way in four cards · Esc closes")
            with Horizontal(classes="columns"):
                for column in (headings[:split], headings[split:]):
                    yield Static(self._column(column), classes="column")

    async def action_tour(self) -> None:
        """The tour in place of the help."""
        await self.dismiss()
        await self.app.run_action("tour")

    def _column(self, headings: Sequence[str]) -> Content:
        keys = {entry: " ".join(entry.keys) for heading in headings for entry in self._entries[heading]}
        width = max(map(len, keys.values()), default=0)
        lines = []
        for heading in headings:
            lines.append(Content.styled(heading, "bold $primary"))
            for entry in self._entries[heading]:
                shown = keys[entry].rjust(width)
                lines.append(Content.assemble((shown, "bold $accent"), "  ", entry.text))
            lines.append(Content())
        return Content("\n").join(lines)
