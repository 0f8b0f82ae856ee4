"""A tour of four cards: what dirtytop is for, and the five keys that lead to a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui.keys import key


@dataclass(frozen=True, slots=True)
class Card:
    """One card; a line that begins with a key is set apart from prose by its shape alone."""

    title: str
    text: str
    keys: tuple[tuple[str, str], ...]
    """Key and what it does; or a sign and what it means."""


CARDS: Final = (
    Card(
        "Watch a process",
        "dirtytop shows which memory of a running process is being written, and saves the process at the"
        " right moment. Pick one and arm it: from then on every page that it writes shows. Nothing in it"
        " is changed.",
        (
            ("⏎", "watch the process under the cursor (space tags several)"),
            ("a", "arm: see every write from now on"),
        ),
    ),
    Card(
        "See what it writes",
        "Hot memory is written again and again; cold memory is saved once and done with. The table has a"
        " row for each mapping, hottest first, and above it three views take turns.",
        (
            ("v", "rates over time, memory over time, how much within t"),
            ("tab", "go round the panels; z gives one the whole screen"),
            ("h", "only mappings that are being written"),
        ),
    ),
    Card(
        "Know when to dump",
        "A dump stops the process while its last changes are copied. How long that would take right now,"
        " and how much shorter after a pre-dump or two, is foreseen all the time and checked after each.",
        (
            ("✔", "dump now: the stop is short"),
            ("▲", "pre-dump first, or wait for a lull: it gets shorter"),
            ("✗", "it writes faster than the disk takes: no pre-dump helps"),
        ),
    ),
    Card(
        "Save it, link by link",
        "Pre-dumps save memory while the process runs on; the dump at the end saves what is left. If one"
        " fails or is cancelled nothing is lost, and the process runs on.",
        (
            ("d", "pre-dump: 1 → 2 → … each link holds what changed"),
            ("D", "dump: ends the chain; asks first, and lets the process run on"),
            ("l", "open the chain: what each link saved, and of which memory"),
            ("?", "every key there is; T shows this tour again"),
        ),
    ),
)


class TourScreen(ModalScreen[None]):
    """The cards, one after the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,T,ctrl+c", "dismiss", "Skip", "app.close", "Leave the tour", shown="esc"),
        key("right,enter,space,l,j,down,pagedown", "turn(1)", "Next", "app.next_card", shown="→"),
        key("left,backspace,h,k,up,pageup", "turn(-1)", "Back", "app.previous_card", shown="←"),
    ]
    AUTO_FOCUS = "#next"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def compose(self) -> ComposeResult:
        """One card, which is filled with the next one's text."""
        with Vertical(classes="dialog tour") as dialog:
            dialog.border_subtitle = Content("→ next · ← back · Esc skips it for good · T brings it back")
            yield Static("", id="card", markup=False)
            with Horizontal(classes="buttons"):
                yield Static("", id="progress", markup=False)
                yield Button(Content("Skip"), id="skip", compact=True)
                yield Button(Content("Next"), id="next", compact=True)

    def on_mount(self) -> None:
        """Begin with the first."""
        self._show()

    def _show(self) -> None:
        card = CARDS[self._at]
        self.query_one(".tour").border_title = Content(f"a tour · {self._at + 1} of {len(CARDS)}")
        width = max(len(sign) for sign, _ in card.keys)
        lines = [Content.styled(card.title, "bold $primary"), Content(), Content(card.text), Content()]
        lines += [
            Content.assemble((f"  {sign.rjust(width)}", "bold $accent"), "  ", meaning)
            for sign, meaning in card.keys
        ]
        self.query_one("#card", Static).update(Content("\n").join(lines))
        progress = " ".join("●" if at == self._at else "○" for at in range(len(CARDS)))
        self.query_one("#progress", Static).update(Content.styled(progress, "$accent"))
        self.query_one("#next", Button).label = Content("Done" if self._at == len(CARDS) - 1 else "Next")

    def action_turn(self, step: int) -> None:
        """Go on, or back; after the last card it is over."""
        if self._at + step >= len(CARDS):
            self.dismiss()
            return
        self._at = max(0, self._at + step)
        self._show()

    @on(Button.Pressed, "#next")
    def _next(self) -> None:
        self.action_turn(1)

    @on(Button.Pressed, "#skip")
    def _skip(self) -> None:
        self.dismiss()
