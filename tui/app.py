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
from textual.reactive import reactive
from textual.screen import Screen

from engine.checkpoint.link import Engine
from engine.kernel.process import read_stat
from engine.printable import printable
from engine.tracking.cost_budget import CostBudget
from engine.tracking.sample import TrackerKind
from tui import keys
from tui.backend import Backend, EngineBackend
from tui.desk import Clock, Desk, Options
from tui.endings import end_on_signals, thread_failures_go_to
from tui.hearing import Hearing
from tui.help import command_entries
from tui.job_control import stops_put_off
from tui.settings import Settings, load_settings, save_settings, settings_path
from tui.targets.picture import Picture
from tui.targets.told import TargetsPicked, ThreadFailed, Told
from tui.targets.watchlist import WatchList
from tui.theme import DEFAULT_THEME, THEMES
from tui.view.shown import NOTHING, Shown
from widgets.event_log import Severity

_WIDTHS: Final = [(0, "-narrow"), (100, "-wide"), (160, "-very-wide")]
_HEIGHTS: Final = [(0, "-low"), (34, "-high")]
_HOLD_S: Final = 1.0
"""How long suspending waits for a tick to end."""


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

    shown: reactive[Shown] = reactive(NOTHING, init=False)
    """What the dashboard is showing now. Screens watch it."""

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
                backend,
                self.post_message,
                options.tracker,
                options.cost_budget or settings.cost_budget,
                self._changed,
            ),
            settings=settings,
            options=options,
            clock=clock or SystemClock(),
            changed=self._changed,
            tell=self.tell,
        )
        self._hearing = Hearing(self.desk)
        self._picture = Picture(self.desk.watched, readonly=options.readonly)
        self._is_due = False
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
            self.desk.watched.bring_into_view(self.desk.watched.targets[0])
        if self._settings_problem:
            self.tell(self._settings_problem, title="Settings", severity="warning")

        if self.desk.options.greets and self.desk.settings.show_tour:
            self._greet()

    def _greet(self) -> None:
        """Show the tour once; a user who has named what to watch is only told of it."""
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

    def _changed(self) -> None:
        """Something else is to be shown, once whatever is being done now is done."""
        if not self._is_due:
            self._is_due = True
            self.call_next(self._show)

    def _show(self) -> None:
        self._is_due = False
        now_s = self.desk.clock.monotonic()
        self.shown = self._picture.take(now_s=now_s, stop_budget_s=self.desk.stop_budget_s)

    # What the threads say.

    @on(Told)
    def _told(self, message: Told) -> None:
        self._hearing.hear(message.target, message.what)

    @on(TargetsPicked)
    def _picked(self, message: TargetsPicked) -> None:
        from tui.screens.watch import WatchScreen

        for pick in message.picked:
            self.desk.watch(pick.pid, start_ticks=pick.start_ticks)
        while len(self.screen_stack) > 1 and not isinstance(self.screen, WatchScreen):
            self.pop_screen()
        if not isinstance(self.screen, WatchScreen):
            self.push_screen(WatchScreen(self.desk))

    # Actions that every screen has.

    async def action_quit(self) -> None:
        """Leave; ask first if a pre-dump or dump is under way, or a trigger is set."""
        from tui.screens.questions import before_leaving

        question = before_leaving([target.facts for target in self.desk.watched.targets])
        if question is None:
            self.exit()
        else:
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
            self.tell("A trigger is set and could not fire meanwhile; c cancels it.", severity="warning")
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
        self.post_message(ThreadFailed(error))

    @on(ThreadFailed)
    def _thread_failed(self, message: ThreadFailed) -> None:
        raise message.error


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
        engine: the maker of chains while the user has never chosen one; None: the one that saves most.
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
