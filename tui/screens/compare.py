"""Two targets side by side: which of them is harder to dump, and why."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.desk import Desk
from tui.keys import HELP, key
from tui.targets.target import Target
from tui.view.comparing import curve_of, name_of, pairs_of, sentence
from tui.view.shown import Shown, TargetView
from widgets.curve_pair import CurvePair
from widgets.side_by_side import SideBySide
from widgets.target_trends import TargetTrends


class CompareScreen(ModalScreen[None]):
    """The target in view against another; both go on being sampled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,C,enter", "dismiss", "Close", "app.close", shown="esc"),
        key("right_square_bracket", "turn(1)", "Next", "target.next", "Against the next target", shown="]"),
        key("left_square_bracket", "turn(-1)", "Previous", "target.previous", "The one before", shown="["),
        key("a", "arm", "Arm", "tracking.arm", "Arm those of the two that are not"),
        HELP,
    ]

    def __init__(self, desk: Desk, first: Target, second: Target) -> None:
        super().__init__()
        self._desk = desk
        self._first = first
        self._second = second
        self._shown: tuple[TargetView, TargetView] | None = None

    def compose(self) -> ComposeResult:
        """The answer, then what it follows from."""
        with Vertical(classes="dialog compare") as dialog:
            dialog.border_title = Content("which is harder to dump?")
            several = "[ ] another · " if len(self._desk.watched.targets) > 2 else ""
            dialog.border_subtitle = Content(f"▲ makes it harder · {several}a arms both · Esc closes")
            yield Static("", id="answer", markup=False)
            yield TargetTrends(id="trends")
            yield SideBySide(id="pairs")
            yield CurvePair(id="curves")

    def on_mount(self) -> None:
        """Follow both."""
        self.watch(self.app, "shown", self._follow)

    def _follow(self, shown: Shown) -> None:
        first, second = (shown.of(each.facts.number) for each in (self._first, self._second))
        if first is None or second is None:
            self.dismiss()
        elif (first, second) != self._shown:
            self._shown = first, second
            self._show(first, second)

    def _show(self, one: TargetView, other: TargetView) -> None:
        first, second = one.facts, other.facts
        text, is_known = sentence(first, second)
        self.query_one("#answer", Static).update(Content.styled(text, "bold" if is_known else "$text-muted"))
        self.query_one(TargetTrends).show_targets([one.trend, other.trend], None)
        self.query_one(SideBySide).show_pairs((name_of(first), name_of(second)), pairs_of(first, second))
        self.query_one(CurvePair).show_curves([curve_of(first), curve_of(second)])

    def action_turn(self, step: int) -> None:
        """Compare with another."""
        others = [target for target in self._desk.watched.targets if target is not self._first]
        self._second = others[(others.index(self._second) + step) % len(others)]
        self._desk.changed()

    def action_arm(self) -> None:
        """Arm what is not armed; one that is stays as it is."""
        if self._desk.options.readonly:
            return
        for target in (self._first, self._second):
            if target.sampler is not None and not target.facts.is_armed and not target.facts.is_lent:
                target.sampler.arm()
