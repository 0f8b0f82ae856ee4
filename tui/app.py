"""The dashboard: puts the engine behind the screens, and sees to it that it always ends cleanly."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.command import CommandPalette
from textual.screen import Screen
from textual.signal import Signal

from engine.checkpoint.link import Engine
from engine.errors import Cancelled
from engine.images.layout import LinkKind
from engine.kernel.process import read_stat
from engine.printable import printable
from engine.tracking.cost_budget import CostBudget
from engine.tracking.sample import EventKind, TrackerKind
from tui import keys, messages
from tui.backend import Backend, EngineBackend
from tui.desk import Clock, Desk, Options, What
from tui.endings import end_on_signals, thread_failures_go_to
from tui.help import command_entries
from tui.job_control import stops_put_off
from tui.settings import Settings, load_settings, save_settings, settings_path
from tui.target import Severity, Stage, Target
from tui.theme import DEFAULT_THEME, THEMES
from tui.watchlist import WatchList
from tui.words import KINDS, describe_cost, describe_link, link_name, probe_text, restore_command

_WIDTHS: Final = [(0, "-narrow"), (100, "-wide"), (160, "-very-wide")]
_HEIGHTS: Final = [(0, "-low"), (34, "-high")]
_HOLD_S: Final = 1.0
"""How long suspending waits for a tick to end."""
_TOASTED: Final = (EventKind.EXECED, EventKind.UNTRACKABLE, EventKind.FOREIGN_CLEAR)
"""Events that change what the figures mean; the others only go to the log."""


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Seconds, as `time.monotonic`."""
        return time.monotonic()

    def time_of_day(self) -> str:
        """As in "12:34:56"."""
        return time.strftime("%H:%M:%S")

    def local_time(self) -> datetime:
        """The date and time of day."""
        return datetime.now()

    def stamp(self) -> str:
        """As in "20250131-123456"."""
        return time.strftime("%Y%m%d-%H%M%S")


class DirtytopApp(App[None]):
    """Picks processes, watches them, takes their checkpoints."""

    TITLE = "dirtytop"
    CSS_PATH = "dirtytop.tcss"
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [*keys.APP]

    def __init__(
        self,
        options: Options | None = None,
        *,
        backend: Backend | None = None,
        settings: Settings | None = None,
        settings_problem: str = "",
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._stops = ExitStack()
        options = options or Options()
        settings = settings or Settings()
        backend = backend or EngineBackend(trusts_directory=options.trusts_directory)
        self.desk = Desk(
            backend=backend,
            watched=WatchList(
                backend, self.post_message, options.tracker, options.cost_budget or settings.cost_budget
            ),
            settings=settings,
            options=options,
            clock=clock or SystemClock(),
            changed=Signal(self, "changed"),
            tell=self.tell,
        )
        self._settings_problem = settings_problem
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._first_theme(options.theme, settings.theme)
        self._theme_at_start = self.theme

    def _first_theme(self, *wanted: str | None) -> str:
        return next((name for name in wanted if name and name in self.available_themes), DEFAULT_THEME)

    def get_default_screen(self) -> Screen[None]:
        """The dashboard if something is to be watched, else the picker."""
        if self.desk.options.pids:
            from tui.screens.watch import WatchScreen

            return WatchScreen(self.desk)
        from tui.screens.pick import PickScreen

        return PickScreen(self.desk)

    def on_mount(self) -> None:
        """Start to watch what was asked for."""
        end_on_signals(lambda code: self.exit(return_code=code))
        self._stops.enter_context(stops_put_off())
        for pid in self.desk.options.pids:
            self.desk.watch(pid)
        if self.desk.watched.targets:
            self.desk.watched.current = self.desk.watched.targets[0]
            self.desk.announce(self.desk.watched.current, What.TARGETS)
        if self._settings_problem:
            self.tell(self._settings_problem, title="Settings", severity="warning")

        if self.desk.options.greets and self.desk.settings.show_tour:
            self._greet()

    def _greet(self) -> None:
        """Once, and never in the way of somebody who has named what to watch."""
        self.desk.remember(show_tour=False)
        if self.desk.options.pids:
            self.tell("T is a tour of four cards, ? lists the keys.", title="New here?")
        else:
            self.action_tour()

    def on_unmount(self) -> None:
        """Let every target go; `run` waits for it."""
        self._stops.close()
        self.desk.watched.leave_all()

    def tell(self, text: str, *, title: str = "", severity: Severity = "information") -> None:
        """Show a toast of literal text."""
        self.notify(text, title=printable(title), severity=severity, markup=False)

    # What the threads say.

    @on(messages.TargetOpened)
    def _opened(self, message: messages.TargetOpened) -> None:
        message.target.opened(message.tracker, message.modes)
        self.desk.note(message.target, f"watched by {message.tracker.value}")
        self.desk.announce(message.target, What.STATUS)

    @on(messages.Sampled)
    def _sampled(self, message: messages.Sampled) -> None:
        target = message.target
        named, was_armed = target.command, target.is_armed
        was_lent = target.is_lent
        target.sampled(
            message.sample,
            armed=message.armed,
            lent=message.lent,
            history=message.history,
            advice=message.advice,
            heat=message.heat,
        )
        if target.stage is Stage.GONE:
            self.desk.note(target, "the target has exited", "warning")
            self.desk.triggers.target_lost(target, "the target has exited")
            self.desk.announce(target, What.STATUS)
        if target.is_armed and not was_armed:
            if was_lent:
                self._broken(target, "arming")
            self.desk.note(target, "armed")
            self.desk.foresee(target)
            self.desk.announce(target, What.STATUS)
        if target.is_lent is not was_lent:
            self.desk.announce(target, What.STATUS)
        self.desk.announce(target, What.SAMPLE)
        if target.command != named:
            self.desk.announce(target, What.TARGETS)

    @on(messages.EventsSeen)
    def _events_seen(self, message: messages.EventsSeen) -> None:
        for event in message.events:
            severity: Severity = "warning" if event.kind in _TOASTED else "information"
            if event.kind is EventKind.FOREIGN_CLEAR:
                severity = "error"
                self._broken(message.target, "a foreign clear")
            elif event.kind is EventKind.REARMED and message.target.is_lent:
                self._broken(message.target, "arming")
            self.desk.note(message.target, event.text, severity)
            if event.kind in _TOASTED:
                self.tell(printable(event.text), title=event.kind.value, severity=severity)

    def _broken(self, target: Target, by: str) -> None:
        target.chain_broken(f"broken by {by} at {self.desk.clock.time_of_day()}")
        self.desk.announce(target, What.STATUS, What.LINKS)

    @on(messages.SamplingFailed)
    def _sampling_failed(self, message: messages.SamplingFailed) -> None:
        message.target.failed(message.error)
        self.desk.note(message.target, message.error.message, "error")
        self.desk.triggers.target_lost(message.target, message.error.message)
        self.desk.announce(message.target, What.STATUS)

    @on(messages.CommandFailed)
    def _command_failed(self, message: messages.CommandFailed) -> None:
        self.desk.report(message.target, message.error, "Refused")

    @on(messages.DiskProbed)
    def _disk_probed(self, message: messages.DiskProbed) -> None:
        self.desk.note(message.target, probe_text(message.directory))

    @on(messages.CostsMeasured)
    def _costs_measured(self, message: messages.CostsMeasured) -> None:
        self.desk.triggers.measured(message.target, message.wait)

    @on(messages.CostsNotMeasured)
    def _costs_not_measured(self, message: messages.CostsNotMeasured) -> None:
        if message.wait is not None:
            self.desk.triggers.refused(message.target, message.wait, message.error)
        else:
            self.desk.note(message.target, f"no forecast: {message.error.message}", "warning")

    @on(messages.TriggerRefused)
    def _trigger_refused(self, message: messages.TriggerRefused) -> None:
        self.desk.triggers.refused(message.target, message.wait, message.error)

    @on(messages.TriggerDecided)
    def _trigger_decided(self, message: messages.TriggerDecided) -> None:
        self.desk.triggers.decided(message.target, message.wait, message.decision)

    @on(messages.LinkProgressed)
    def _link_progressed(self, message: messages.LinkProgressed) -> None:
        if message.target.is_busy:
            message.target.progress = message.progress
            self.desk.announce(message.target, What.PROGRESS)

    @on(messages.LinkMade)
    def _link_made(self, message: messages.LinkMade) -> None:
        target, result = message.target, message.result
        target.link_made(message.chain, result)
        self.desk.note(target, f"{link_name(result)}: {describe_link(result)}, {describe_cost(result)}")
        self.desk.triggers.link_made(target, result)
        self.desk.announce(target, What.LINKS, What.PROGRESS, What.STATUS)
        for note in result.notes:
            self.desk.note(target, f"{link_name(result)}: {note}", "warning")
        lines = [describe_link(result), describe_cost(result), *result.notes]
        if result.restorable:
            lines.append(f"y copies: {restore_command(result)}")
        elif result.kind is LinkKind.DUMP:
            lines.append("not restorable: Enter says what it does not hold")
        self.tell(
            "\n".join(map(printable, lines)),
            title=f"{link_name(result)} · {target.command} {target.pid}",
            severity="warning" if result.notes else "information",
        )

    @on(messages.LinkNotMade)
    def _link_not_made(self, message: messages.LinkNotMade) -> None:
        target, error = message.target, message.error
        target.link_not_made(error, why_full=message.why_full, log=message.log)
        self.desk.triggers.link_not_made(target, message.request, error)
        what = KINDS[message.request.kind]
        if isinstance(error, Cancelled):
            then = "the next link will be a full one" if message.why_full else "its pages are pending again"
            self.desk.note(target, f"{what} cancelled; {then}", "warning")
            self.tell(f"Nothing is lost: {then}.", title=f"{what} cancelled")
        else:
            self.desk.report(target, error, f"{what} failed")
            if message.log is not None:
                self.desk.note(target, "L shows the log", "information")
        self.desk.announce(target, What.LINKS, What.PROGRESS, What.STATUS)

    @on(messages.TargetsPicked)
    def _picked(self, message: messages.TargetsPicked) -> None:
        from tui.screens.watch import WatchScreen

        for pick in message.picked:
            self.desk.watch(pick.pid, start_ticks=pick.start_ticks)
        while len(self.screen_stack) > 1 and not isinstance(self.screen, WatchScreen):
            self.pop_screen()
        if not isinstance(self.screen, WatchScreen):
            self.push_screen(WatchScreen(self.desk))

    # Actions that every screen has.

    async def action_quit(self) -> None:
        """Leave; ask first if a pre-dump or dump is under way, or a trigger is armed."""
        busy, waiting = self.desk.watched.busy, self.desk.watched.waiting
        if not busy and not waiting:
            self.exit()
            return
        from tui.screens.confirm import ConfirmScreen

        if busy:
            question = ConfirmScreen(
                "Leave while a link is being made?",
                f"{_names(busy)}: it is cancelled, and what it wrote is removed. The target runs on.",
                confirm="Cancel it and leave",
                refuse="Stay",
            )
        else:
            triggers = ", ".join(str(target.wait.trigger) for target in waiting if target.wait)
            question = ConfirmScreen(
                "Leave while a trigger is armed?",
                f"{_names(waiting)}: nothing is dumped when it comes to {triggers}. Links until now stay.",
                confirm="Disarm it and leave",
                refuse="Stay",
            )
        self.push_screen(question, lambda leave: self.exit() if leave else None)

    def action_help(self) -> None:
        """Explain what can be pressed here."""
        from tui.screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
        elif not isinstance(self.screen, CommandPalette):
            self.push_screen(HelpScreen.of(self.screen, self))

    def action_tour(self) -> None:
        """Show the way in four cards."""
        from tui.screens.tour import TourScreen

        self.push_screen(TourScreen())

    def action_suspend_process(self) -> None:
        """Go back to the shell, at a moment when no target is stopped."""
        if self.desk.watched.busy:
            self.tell("A link is being made; suspending would leave its target stopped.", severity="warning")
            return
        if self.desk.watched.waiting:
            self.tell("A trigger is armed and could not fire meanwhile; c disarms it.", severity="warning")
            return
        with self.desk.watched.held(_HOLD_S) as kept:
            if kept:
                super().action_suspend_process()
            else:
                self.tell("A tick takes too long; try again.", severity="warning")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: what can be pressed, and the themes."""
        yield from command_entries(screen, self)
        yield SystemCommand("Theme", "Choose another theme", self.action_change_theme)

    def remembered(self) -> Settings:
        """The settings as they are to be kept."""
        if self.theme != self._theme_at_start:
            self.desk.remember(theme=self.theme)
        return self.desk.settings

    def thread_failed(self, error: Exception) -> None:
        """End with the traceback of a thread that broke. May be called from any thread."""
        self.post_message(messages.ThreadFailed(error))

    @on(messages.ThreadFailed)
    def _thread_failed(self, message: messages.ThreadFailed) -> None:
        raise message.error


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(f"{target.command} ({target.pid})" for target in targets)


def run(
    pids: Sequence[int] = (),
    *,
    arm: bool = False,
    interval_s: float | None = None,
    tracker: TrackerKind | None = None,
    cost_budget: CostBudget | None = None,
    directory: Path | None = None,
    trusts_directory: bool = False,
    stop_budget_s: float | None = None,
    engine: Engine | None = None,
    theme: str | None = None,
    mouse: bool = True,
    readonly: bool = False,
) -> int:
    """Show the dashboard until the user leaves it.

    Args:
        pids: what to watch; nothing shows the picker.
        arm: arm these at once.
        interval_s: from tick to tick; None takes what the user set last.
        tracker: how to see writes; None lets the engine choose.
        cost_budget: what tracking may cost a target; None takes what the settings say.
        directory: where the first chain goes, without a question.
        trusts_directory: whether others may be able to exchange the directories of chains.
        stop_budget_s: how long a dump may stop the target; None takes what the user set last.
        engine: who makes chains where the user has never chosen; None: the one that saves most.
        theme: by name; None takes what the user set last.
        mouse: whether to take the mouse from the terminal.
        readonly: neither arm nor dump.

    Returns:
        The exit code: 0, or 128 plus the number of the signal that ended it.

    Raises:
        TargetGone: there is no process with one of these pids.
    """
    for pid in pids:
        read_stat(pid)
    settings, problem = load_settings(settings_path())
    options = Options(
        tuple(pids),
        arm,
        interval_s,
        tracker,
        directory,
        theme,
        readonly,
        stop_budget_s=stop_budget_s,
        engine=engine,
        cost_budget=cost_budget,
        greets=True,
        trusts_directory=trusts_directory,
    )
    app = DirtytopApp(options, settings=settings, settings_problem=problem)
    try:
        with thread_failures_go_to(app.thread_failed):
            app.run(mouse=mouse)
    finally:
        app.desk.watched.leave_all()
        ended = app.desk.watched.join()
    if not ended:
        print("dirtytop: a job did not give up in time; its link is incomplete", file=sys.stderr)
    remembered = app.remembered()
    if remembered != settings:
        try:
            save_settings(remembered, settings_path())
        except OSError as error:
            print(f"dirtytop: settings not saved: {printable(str(error))}", file=sys.stderr)
    return app.return_code or 0
