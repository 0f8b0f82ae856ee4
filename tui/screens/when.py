"""When to dump: what to wait for, for how long, and what then. Filled in from the forecast."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, RadioButton, RadioSet, Static

from engine.forecast.plans.rounds import say_pre_dumps
from engine.forecast.stop_budget import is_met
from engine.forecast.triggers.conditions import (
    AtDeadline,
    AtTime,
    Condition,
    Every,
    QuietFor,
    StopBelow,
    Trigger,
)
from engine.forecast.triggers.suggestion import Suggestion, suggest
from engine.forecast.triggers.text import BadTrigger, parse_condition, parse_duration
from engine.forecast.writes.rhythm import State
from engine.printable import printable
from engine.units import exact_duration, say_duration
from tui.desk import Desk
from tui.keys import key
from tui.screens.choice import Choice, Tick
from tui.targets.target import Target
from tui.view.facts import Facts
from tui.view.wait import AT_DEADLINE

_KINDS: Final[dict[type[Condition], tuple[str, str, str]]] = {
    StopBelow: ("stop", "when the stop is under", "stop<{}"),
    QuietFor: ("quiet", "when quiet for", "quiet {}"),
    AtTime: ("at", "at", "at {}"),
    Every: ("every", "pre-dump every", "every {}"),
}
"""For each: the name of its widgets, what is said, and how it is written as a trigger."""

_OF_THEMSELVES: Final = (Every,)
"""These make pre-dumps without being asked."""


class WhenScreen(ModalScreen[Trigger | None]):
    """Gives the trigger, or None.

    Args:
        desk: for the clock.
        target: what is to be dumped.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "dismiss(None)", "Cancel", "app.close", "Wait for nothing"),
        key("ctrl+s", "take", "Go on", "checkpoint.take", "Go on to where and how"),
    ]

    def __init__(self, desk: Desk, target: Target) -> None:
        super().__init__()
        self._target = target
        advice = target.facts.live.advice
        self._suggested = suggest(advice.forecast, advice.rhythm, desk.clock.local_time())

    def compose(self) -> ComposeResult:
        """A line for each thing to wait for, then how long."""
        values = _values(self._suggested)
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(f"when to dump {printable(self._target.name)}")
            dialog.border_subtitle = Content("Esc cancels · Enter goes on")
            with Horizontal(id="kinds"):
                yield RadioSet(
                    *(
                        Choice(Content(said), value=kind is self._suggested.best, id=f"kind-{name}")
                        for kind, (name, said, _) in _KINDS.items()
                    ),
                    id="kind",
                    compact=True,
                )
                with Vertical(id="values"):
                    for kind, (name, _, _) in _KINDS.items():
                        yield Input(values[kind], id=name, compact=True, select_on_focus=True)
                with Vertical(id="present"):
                    for name, _, _ in _KINDS.values():
                        yield Static("", id=f"now-{name}", markup=False)
            yield Tick(
                Content("pre-dump first where that makes the stop shorter"), value=True, id="pre-dumps"
            )
            yield Static("wait no longer than (empty: for ever)", markup=False, classes="label")
            with Horizontal(id="limit"):
                yield Input(_short(self._suggested.deadline_s), id="deadline", compact=True)
                yield RadioSet(
                    *(
                        Choice(Content(f"then {said}"), value=at is AtDeadline.DUMP, id=f"then-{at.name}")
                        for at, said in AT_DEADLINE.items()
                    ),
                    id="then",
                    compact=True,
                )
            yield Static("", id="problem", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel"), id="cancel", compact=True)
                yield Button(Content("Go on"), id="take", variant="warning", compact=True)

    def on_mount(self) -> None:
        """Say what is the case, now and at each tick."""
        self.app.clear_notifications()  # a toast would cover the buttons
        self.watch(self.app, "shown", self._tell)
        self._check()
        self.query_one("#take").focus()

    def _tell(self) -> None:
        try:
            limit_s = parse_duration(self.query_one("#stop", Input).value)
        except BadTrigger:
            limit_s = 0.0
        for name, text in _present(self._target.facts, limit_s).items():
            self.query_one(f"#now-{name}", Static).update(Content.styled(text, "$foreground 60%"))

    # What is answered.

    @property
    def _kind(self) -> type[Condition]:
        return next(
            kind
            for kind, (name, _, _) in _KINDS.items()
            if self.query_one(f"#kind-{name}", RadioButton).value
        )

    def _trigger(self) -> Trigger:
        """As it stands. Raises BadTrigger."""
        name, _, written = _KINDS[self._kind]
        limit = self.query_one("#deadline", Input).value.strip()
        then = next(at for at in AT_DEADLINE if self.query_one(f"#then-{at.name}", RadioButton).value)
        return Trigger(
            parse_condition(written.format(self.query_one(f"#{name}", Input).value.strip())),
            parse_duration(limit) if limit else None,
            then,
            may_pre_dump=self._kind in _OF_THEMSELVES or self.query_one("#pre-dumps", Tick).value,
        )

    @on(Input.Changed)
    @on(RadioSet.Changed)
    def _check(self) -> None:
        """Whether that makes sense."""
        try:
            self._trigger()
        except BadTrigger as error:
            problem = f"✗ {error}"
        else:
            problem = ""
        self.query_one("#problem", Static).update(Content.styled(problem, "$error"))
        self.query_one("#take").disabled = bool(problem)
        pre_dumps = self.query_one("#pre-dumps", Tick)
        pre_dumps.disabled = self._kind in _OF_THEMSELVES
        self._tell()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """A user who types a value means to wait for it."""
        name = event.input.id or ""
        if event.input.has_focus and name in {each for each, _, _ in _KINDS.values()}:
            self.query_one(f"#kind-{name}", RadioButton).value = True

    @on(Input.Submitted)
    @on(Button.Pressed, "#take")
    def action_take(self) -> None:
        """Give the answer."""
        if not self.query_one("#take").disabled:
            self.dismiss(self._trigger())

    @on(Button.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.dismiss(None)


def _values(suggested: Suggestion) -> dict[type[Condition], str]:
    return {
        StopBelow: exact_duration(suggested.stop.seconds),
        QuietFor: exact_duration(suggested.quiet.seconds),
        AtTime: f"{suggested.at.clock:%H:%M}",
        Every: exact_duration(suggested.every.seconds),
    }


def _short(seconds: float) -> str:
    return f"{seconds / 60:.0f}min" if seconds % 60 == 0 else exact_duration(seconds)


def _present(facts: Facts, limit_s: float) -> dict[str, str]:
    """What is the case now, for each thing that can be waited for; `limit_s` is that of the stop."""
    advice = facts.live.advice
    forecast, rhythm = advice.forecast, advice.rhythm
    stop = every = "not known yet"
    if forecast.plans:
        stop = f"now {say_duration(forecast.now.stopped_s.mid)}"
        if is_met(limit_s, forecast.now.stopped_s):
            stop += ": dumps at once"
        elif forecast.best_pre_dumps:
            best = forecast.best
            stop += f"; after {say_pre_dumps(best.pre_dumps)} {say_duration(best.stopped_s.mid)}"
        every = "and dump when it pays"
    quiet = "it writes steadily" if rhythm.state is State.STEADY else "not known yet"
    if rhythm.quiet_s > 0:
        quiet = f"quiet {say_duration(rhythm.quiet_s)}"
    elif rhythm.state is State.BURST:
        quiet = "in a burst"
    lulls = rhythm.lengths(State.LULL)
    if lulls is not None:
        quiet += f"; lulls: {say_duration(lulls.mid)}"
    return {"stop": stop, "quiet": quiet, "at": "local time", "every": every}
