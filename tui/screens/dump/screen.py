"""Where, by whom and how a link is made: asked before every dump, and before the first pre-dump of a chain.

Nothing here is dangerous by default: the target runs on, and Enter on a dump's fresh dialog leaves
everything as it is. Killing the target is asked about once more.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, RadioButton, RadioSet, Static

from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import After, Engine
from engine.forecast.triggers.conditions import Trigger
from engine.images.layout import LinkKind
from engine.printable import printable
from engine.units import say_bytes
from tui.desk import Desk
from tui.keys import key
from tui.orders import ChainOrder, LinkRequest, Wait
from tui.screens.choice import Choice
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump.engine_choice import EngineChoice
from tui.screens.dump.findings import Findings
from tui.screens.dump.place_choice import PlaceChoice
from tui.targets.target import Target
from tui.view.facts import Facts
from tui.view.wait import deadline_text
from tui.words import AFTER, KINDS, killed_text, link_name

if TYPE_CHECKING:  # heavy, and only named here
    from engine.checkpoint.engines import EngineReport

_BUTTON = {LinkKind.PRE_DUMP: "Pre-dump", LinkKind.DUMP: "Dump"}


class DumpScreen(ModalScreen[LinkRequest | Wait | None]):
    """Gives what the user asks for, now or when a trigger says so; or None.

    Args:
        desk: for settings and the clock.
        target: what is dumped.
        kind: a dump, or the first pre-dump of a chain.
        trigger: when to dump; None: at once.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "dismiss(None)", "Cancel", "app.close", "Leave everything as it is"),
        key("ctrl+s", "make", "Do it", "checkpoint.make", "Do what the dialog says"),
        key("ctrl+o", "browse", "Browse", "checkpoint.browse", "Choose the directory in a tree"),
        key("ctrl+t", "when", "When", "checkpoint.choose_when", "Not now, but when it pays: choose when"),
    ]

    class EnginesExamined(Message):
        """What can make links of the target."""

        def __init__(self, reports: tuple[EngineReport, ...]) -> None:
            super().__init__()
            self.reports = reports

    def __init__(self, desk: Desk, target: Target, kind: LinkKind, trigger: Trigger | None = None) -> None:
        super().__init__()
        self._trigger = trigger
        self._desk = desk
        self._target = target
        self._kind = kind
        self._chain = target.facts.open_chain
        self._engines = EngineChoice(desk.backend.engines(), kind, desk.engine)
        self._place = PlaceChoice(
            desk.default_directory(target),
            desk.backend,
            target.tracking,
            trusts=desk.options.trusts_directory,
        )

    # What is asked.

    def compose(self) -> ComposeResult:
        """The chain, the directory, what becomes of the target."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_subtitle = Content("Esc cancels · Ctrl+S does it · F1 all keys")
            if self._chain is not None:
                yield Static("parent", markup=False, classes="label")
                yield RadioSet(
                    Choice(Content(self._going_on()), value=True, id="go-on"),
                    Choice(Content(self._new_chain()), id="anew"),
                    id="chain-choice",
                    compact=True,
                )
                yield Static(
                    Content.assemble(("engine  ", "$foreground 60%"), kind_of(self._chain.engine).label),
                    id="engine",
                )
            yield self._engines
            yield Findings()
            yield self._place
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
            with Horizontal(classes="buttons"):
                if self._kind is LinkKind.DUMP:
                    yield Button(Content("When …"), id="when", compact=True)
                yield Button(Content("Cancel"), id="cancel", compact=True)
                yield Button(Content(_BUTTON[self._kind]), id="make", variant="warning", compact=True)

    def on_mount(self) -> None:
        """Put the focus where Enter does no harm, and look at the directory."""
        self.app.clear_notifications()  # a toast would cover the buttons
        self.query_one("#make" if self._is_harmless else "#cancel").focus()
        self._entitle()
        if self._facts.engines:
            self._engines.show_reports(self._facts.engines)
        self._follow_choice()
        self._examine_engines()
        self.watch(self.app, "shown", self._follow_target)

    @property
    def _facts(self) -> Facts:
        return self._target.facts

    @property
    def _is_harmless(self) -> bool:
        return self._kind is LinkKind.PRE_DUMP or self._trigger is not None

    def _follow_target(self) -> None:
        """What would be written follows what the target writes meanwhile."""
        if self._chain is not None:
            self.query_one("#go-on", RadioButton).label = Content(self._going_on())
            self.query_one("#anew", RadioButton).label = Content(self._new_chain())
        self._show_state()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a dump can wait."""
        return action != "when" or self._kind is LinkKind.DUMP

    def _entitle(self) -> None:
        """Say what is done, and when."""
        title = f"{KINDS[self._kind]} of {printable(self._target.name)}"
        if self._trigger is not None:
            title += f" · {self._trigger}{deadline_text(self._trigger)}"
            self.query_one("#make", Button).label = Content("Set the trigger")
        self.query_one(".dialog").border_title = Content(title)

    def _going_on(self) -> str:
        last = self._facts.links[-1]
        if self._facts.why_full:
            return f"go on: link {last.number + 1}, a full one ({say_bytes(self._facts.next_bytes)})"
        return (
            f"go on: link {last.number + 1}, on top of {link_name(last)}"
            f" (writes about {say_bytes(self._facts.next_bytes)})"
        )

    def _new_chain(self) -> str:
        return f"a new chain, without a parent (writes about {say_bytes(self._facts.whole_bytes)})"

    # What is answered.

    @property
    def _goes_on(self) -> bool:
        return self._chain is not None and self.query_one("#go-on", RadioButton).value

    @property
    def _after(self) -> After:
        if self._kind is LinkKind.PRE_DUMP:
            return After.RUN
        return next(after for after in After if self.query_one(f"#after-{after.value}", RadioButton).value)

    @on(RadioSet.Changed, "#chain-choice")
    def _follow_choice(self) -> None:
        goes_on = self._goes_on
        self._engines.display = not goes_on
        if self._chain is not None:
            self.query_one("#engine").display = goes_on
        self._place.fix(self._chain.directory if self._chain is not None and goes_on else None)

    def _examine_engines(self) -> None:
        """Ask them in a thread: a program that does not answer would hold up everything else."""
        tracking = self._target.tracking
        if tracking is None:
            return

        def look() -> None:
            self.post_message(self.EnginesExamined(self._desk.backend.examine_engines(tracking)))

        threading.Thread(target=look, name="examine engines", daemon=True).start()

    @on(EnginesExamined)
    def _engines_examined(self, message: EnginesExamined) -> None:
        self._target.examined(message.reports)
        self._engines.show_reports(message.reports)
        self._show_state()

    @on(EngineChoice.Changed)
    @on(PlaceChoice.Changed)
    def _show_state(self) -> None:
        """Whether it can be done as it stands, and what speaks against it."""
        earlier = self._place.earlier
        self._engines.force(earlier.engine if earlier is not None and self._place.is_there else None)
        maker = self._report_of(self._maker)
        self.query_one(Findings).show_findings(maker.findings if maker is not None else ())
        problem = "" if self._goes_on else self._place.problem or self._engines.problem
        make = self.query_one("#make")
        make.disabled = bool(problem) or not self._place.is_possible
        if self._is_harmless and self.focused is None and not problem:
            make.focus()
        needed_bytes = self._facts.next_bytes if self._goes_on else self._facts.whole_bytes
        self._place.show_state(problem, needed_bytes)

    # What is done.

    def action_browse(self) -> None:
        """Choose the directory in a tree."""
        self._place.browse()

    @on(Button.Pressed, "#when")
    def action_when(self) -> None:
        """Choose when, and come back."""
        from tui.screens.when import WhenScreen

        def chosen(trigger: Trigger | None) -> None:
            if trigger is not None:
                self._trigger = trigger
                self._entitle()
                self.query_one("#make").focus()

        self.app.push_screen(WhenScreen(self._desk, self._target), chosen)

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
        when = f" when the trigger fires ({self._trigger})" if self._trigger is not None else ""
        question = ConfirmScreen(
            f"Kill {self._target.name}{when}?",
            killed_text(is_restorable=self._is_restorable, is_asked=self._trigger is None),
            confirm="Set it, dump and kill" if self._trigger is not None else "Dump and kill",
            refuse="Cancel",
        )
        self.app.push_screen(question, lambda sure: self._answer() if sure else None)

    @property
    def _is_restorable(self) -> bool:
        if self._chain is not None and self._goes_on:
            return kind_of(self._chain.engine).is_restorable
        return self._engines.is_restorable

    def _answer(self) -> None:
        if self._goes_on:
            self._give(LinkRequest(self._kind, None, self._after))
            return
        engine = self._engines.engine
        self._desk.remember(engine=engine.value)
        path = self._place.path
        if path != self._desk.first_directory(self._target):  # that was for this run alone
            self._desk.remember(last_directory=str(path.parent))
        order = ChainOrder(path, engine, self._engines.options, is_there=self._place.is_there)
        self._give(LinkRequest(self._kind, order, self._after))

    def _give(self, request: LinkRequest) -> None:
        if self._trigger is None:
            self.dismiss(request)
            return
        may_pre_dump = self._trigger.may_pre_dump and self._can_pre_dump
        self.dismiss(Wait(replace(self._trigger, may_pre_dump=may_pre_dump), request))

    @property
    def _can_pre_dump(self) -> bool:
        """Whether the engine can, as far as is known."""
        report = self._report_of(self._maker)
        return report is None or not report.why_not(LinkKind.PRE_DUMP)

    @property
    def _maker(self) -> Engine:
        """The maker of the link."""
        return self._chain.engine if self._chain is not None and self._goes_on else self._engines.engine

    def _report_of(self, engine: Engine) -> EngineReport | None:
        """What is known of an engine."""
        return next((report for report in self._facts.engines if report.engine is engine), None)
