"""The dashboard of one target: what it writes, where, and the chain of its checkpoint so far."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer

from engine.forecast.triggers.conditions import Trigger
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode
from engine.units import say_bytes
from tui import keys
from tui.changes import Change, What
from tui.desk import Desk
from tui.orders import ChainOrder, LinkRequest, Wait
from tui.screens.dashboard import Dashboard
from tui.screens.maker_log import show_maker_log
from tui.screens.restore import copy_restore
from tui.screens.target_strip import TargetStrip
from tui.settings import INTERVALS_S, STOP_BUDGETS_S, next_above, next_below
from tui.target import Target
from tui.words import lent_text
from widgets.heat_map import HeatMap
from widgets.line_table import LineTable
from widgets.target_trends import TargetTrends

_ACTS: Final = frozenset({"arm", "pre_dump", "dump", "when", "next_mode"})
_NARROW: Final = 90
"""Cells below which the footer has no room for all."""


class WatchScreen(Screen[None]):
    """Shows the target in view, and acts on it."""

    AUTO_FOCUS = "VmaTable"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.WATCH]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._dashboard = Dashboard(desk)
        self._heat_leads = False

    @property
    def target(self) -> Target | None:
        """The target in view."""
        return self._desk.watched.current

    def compose(self) -> ComposeResult:
        """The panels, and the keys."""
        yield self._dashboard
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """What the keys can do depends on the target."""
        self._desk.changed.subscribe(self, self._changed, immediate=True)

    def _changed(self, change: Change) -> None:
        if change.what in (What.TARGETS, What.STATUS):
            self.refresh_bindings()
            self._fit_footer()

    def on_resize(self) -> None:
        """There may be more room for the footer, or less."""
        self._fit_footer()

    def _fit_footer(self) -> None:
        """In a narrow terminal the menu makes room for the key that cancels."""
        has_cancel = bool(self.check_action("cancel", ()))
        self.query_one(Footer).show_command_palette = not (has_cancel and self.app.size.width < _NARROW)

    # What can be done.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what makes no sense here, dim what makes none now."""
        target = self.target
        if action in _ACTS and self._desk.options.readonly:
            return False
        if action in _ACTS and (target is None or not target.is_ready):
            return None
        if action in ("pre_dump", "dump", "when"):
            return None if target is None or target.is_busy else True
        if action == "cancel":
            return target is not None and (target.is_busy or target.wait is not None)
        if action == "next_mode":
            return target is not None and len(target.modes) > 1
        if action == "turn":
            return len(self._desk.watched.targets) > 1
        if action == "copy_restore":
            return target is not None and target.newest_restorable is not None
        if action == "maker_log":
            return target is not None and (target.failed_log is not None or bool(target.links))
        if action == "links":
            return target is not None and bool(target.links)
        if action == "clear_filter":
            return self._dashboard.filter_bar.is_open
        return True

    def action_arm(self) -> None:
        """See writes from now on. Nothing is lost by it, but a chain of CRIU's is asked about first."""
        target = self.target
        if target is None or target.sampler is None:
            return
        if not target.is_lent:
            target.sampler.arm()
            return
        from tui.screens.confirm import ConfirmScreen

        sampler = target.sampler
        question = ConfirmScreen(
            "Arm, and break CRIU's chain?",
            f"Arming clears the soft-dirty bits that the next link of CRIU's chain{_in(target)} relies on."
            f" Nothing is lost, but that link will be a full one: about {say_bytes(target.whole_bytes)}"
            f" instead of {say_bytes(target.next_bytes)}.",
            confirm="Arm anyway",
            refuse="Leave it",
        )
        self.app.push_screen(question, lambda sure: sampler.arm(even_if_lent=True) if sure else None)

    def action_next_mode(self) -> None:
        """Go to the tracker's next mode."""
        target = self.target
        if target is None or target.sampler is None or target.live.sample is None:
            return
        if target.is_lent:
            self._desk.tell(f"{lent_text(target.chain_directory)}.", title="Mode", severity="warning")
            return
        at = target.modes.index(target.live.sample.mode) + 1
        mode = target.modes[at % len(target.modes)]
        target.sampler.set_mode(mode)
        does = "a tick only reads" if mode is RateMode.CUMULATIVE else "every tick clears: true rates"
        self._desk.note(target, f"{mode.value}: {does}")

    def action_shorter(self) -> None:
        """Tick more often."""
        if self.target is not None:
            self._set_interval(self.target, next_below(INTERVALS_S, self.target.interval_s))

    def action_longer(self) -> None:
        """Tick less often."""
        if self.target is not None:
            self._set_interval(self.target, next_above(INTERVALS_S, self.target.interval_s))

    def _set_interval(self, target: Target, interval_s: float) -> None:
        target.interval_s = interval_s
        if target.sampler is not None:
            target.sampler.set_interval(interval_s)
        self._desk.remember(interval_s=interval_s)
        self._desk.announce(target, What.STATUS)

    def action_less_budget(self) -> None:
        """Allow a shorter stop."""
        self._desk.set_stop_budget(next_below(STOP_BUDGETS_S, self._desk.stop_budget_s))

    def action_more_budget(self) -> None:
        """Allow a longer stop."""
        self._desk.set_stop_budget(next_above(STOP_BUDGETS_S, self._desk.stop_budget_s))

    def action_pause(self) -> None:
        """Freeze the view, or show what happens again."""
        if self.target is not None:
            self.target.pause(self._desk.clock.monotonic())
            self._desk.announce(self.target, What.SAMPLE)

    def action_pre_dump(self) -> None:
        """Add a link to the chain under way; without one, ask where to begin it."""
        target = self.target
        if target is None or target.is_busy:
            return
        if target.wait is not None:
            self._desk.tell(
                f"The trigger {target.wait.trigger} makes the pre-dumps that pay. c cancels it, D dumps now.",
                title="Pre-dump",
            )
            return
        if target.open_chain is not None:
            self._make(target, LinkRequest(LinkKind.PRE_DUMP))
            return
        directory = self._desk.first_directory(target)
        if directory is not None:
            self._make(target, LinkRequest(LinkKind.PRE_DUMP, ChainOrder(directory, self._desk.engine)))
        else:
            self._ask(target, LinkKind.PRE_DUMP)

    def action_dump(self) -> None:
        """Ask where and how, then end the chain."""
        if self.target is not None and not self.target.is_busy:
            self._ask(self.target, LinkKind.DUMP)

    def action_when(self) -> None:
        """Ask what to wait for, then where and how to dump."""
        target = self.target
        if target is None or target.is_busy:
            return
        from tui.screens.when import WhenScreen

        def chosen(trigger: Trigger | None) -> None:
            if trigger is not None:
                self._ask(target, LinkKind.DUMP, trigger)

        self.app.push_screen(WhenScreen(self._desk, target), chosen)

    def _ask(self, target: Target, kind: LinkKind, trigger: Trigger | None = None) -> None:
        from tui.screens.dump import DumpScreen

        def answered(answer: LinkRequest | Wait | None) -> None:
            if answer is not None:
                self._make(target, answer)

        self.app.push_screen(DumpScreen(self._desk, target, kind, trigger), answered)

    def _make(self, target: Target, answer: LinkRequest | Wait) -> None:
        if not target.is_ready or target.is_busy:  # it may have exited while the dialog was open
            self._desk.tell("The target is gone or busy; nothing was written.", severity="warning")
            return
        if isinstance(answer, Wait):
            self._desk.triggers.arm(target, answer)
            return
        self._desk.triggers.disarm(target, "it is dumped now")
        self._desk.watched.make_link(target, answer)
        self._desk.announce(target, What.STATUS)

    def action_cancel(self) -> None:
        """Have the running link given up, and the trigger cancelled."""
        target = self.target
        if target is None:
            return
        self._desk.triggers.disarm(target, "by you")
        if target.job is not None:
            target.job.cancel()
            self._desk.note(target, "cancelling …")

    def action_links(self) -> None:
        """Show the chain's links in full."""
        if self.target is not None and self.target.links:
            from tui.screens.links import LinksScreen

            self.app.push_screen(LinksScreen(self._desk, self.target))

    def action_copy_restore(self) -> None:
        """Put the command that makes the target again into the clipboard."""
        if self.target is not None and self.target.newest_restorable is not None:
            copy_restore(self.app, self._desk, self.target.newest_restorable)

    def action_maker_log(self) -> None:
        """Show the log of the program that made the last link, or failed to."""
        target = self.target
        if target is None:
            return
        path = target.failed_log
        if path is None and target.links:
            path = self._desk.backend.find_log(target.links[-1].path)
        show_maker_log(self.app, self._desk, path)

    def action_log(self) -> None:
        """Show the whole event log."""
        if self.target is not None:
            from tui.screens.log import LogScreen

            self.app.push_screen(LogScreen(self._desk, self.target))

    def action_filter(self) -> None:
        """Type a filter."""
        self._dashboard.filter_bar.open()

    def action_clear_filter(self) -> None:
        """Show every mapping again."""
        self._dashboard.filter_bar.close()

    def action_hot_only(self) -> None:
        """Only what was written in the last tick, or everything."""
        self._dashboard.toggle_hot_only()

    def action_sort(self, step: int) -> None:
        """Sort by the next or the previous column."""
        self._dashboard.table.cycle_sort(step)

    def action_reverse_sort(self) -> None:
        """Turn the order round."""
        self._dashboard.table.reverse_sort()

    @on(LineTable.SortChanged)
    def _sorted(self, event: LineTable.SortChanged) -> None:
        self._desk.remember(vma_sort=("-" if event.descending else "") + event.column)

    @on(LineTable.RowSelected)
    def _selected(self) -> None:
        self.action_links()

    def action_next_plot(self) -> None:
        """Rates, memory over time and the curve take turns in one place; it may be the whole screen."""
        has_the_screen = self.maximized is self._dashboard.plot
        self._dashboard.next_plot()
        if self._heat_leads:  # without the heat map the hottest are what is looked for, as before
            self._heat_leads = False
            self._dashboard.table.action_cursor_first()
        if has_the_screen:
            self.maximize(self._dashboard.plot, container=False)

    @on(HeatMap.Chosen)
    def _heat_chosen(self, event: HeatMap.Chosen) -> None:
        self._heat_leads = False
        self._dashboard.table.move_cursor_to(event.identity)
        self._dashboard.table.focus()

    @on(HeatMap.Moved)
    def _heat_moved(self, event: HeatMap.Moved) -> None:
        if event.identity is not None:
            self._heat_leads = self._dashboard.table.move_cursor_to(event.identity)

    def action_toggle_panel(self, panel: str) -> None:
        """Show or hide a panel; first of all, give back the screen if one has all of it."""
        if self.maximized is not None:
            self.minimize()
        self._dashboard.toggle_panel(panel)

    def action_maximize_panel(self) -> None:
        """Give the whole screen to the panel that has the focus, or give it back."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.maximize(self.focused or self._dashboard.table, container=False)

    @on(events.Click, "#verdict")
    async def _verdict_clicked(self) -> None:
        await self.run_action("when")  # which looks whether it can be done now

    @on(events.Click, "#chain")
    def _chain_clicked(self) -> None:
        self.action_links()

    # Which target.

    def action_pick(self) -> None:
        """Choose another process."""
        from tui.screens.pick import PickScreen

        self.app.push_screen(PickScreen(self._desk))

    def action_turn(self, step: int) -> None:
        """Bring another target into view."""
        self._desk.watched.turn(step)
        self._desk.announce(self.target, What.TARGETS)

    def action_compare(self) -> None:
        """The target in view beside the next one."""
        targets, first = self._desk.watched.targets, self.target
        if first is None or len(targets) < 2:
            self._desk.tell("It takes two: o picks another process, and it is watched beside this one.")
            return
        from tui.screens.compare import CompareScreen

        second = targets[(targets.index(first) + 1) % len(targets)]
        self.app.push_screen(CompareScreen(self._desk, first, second))

    @on(TargetStrip.Chosen)
    @on(TargetTrends.Chosen)
    def _chosen(self, event: TargetStrip.Chosen | TargetTrends.Chosen) -> None:
        self._desk.watched.current = self._desk.watched.targets[event.index]
        self._desk.announce(self.target, What.TARGETS)

    def action_unwatch(self) -> None:
        """Let the target in view go; asks if a link of it is being made, or a trigger is set."""
        target = self.target
        if target is None:
            return
        if not target.is_busy and target.wait is None:
            self._unwatch(target)
            return
        from tui.screens.confirm import ConfirmScreen

        if target.is_busy:
            question = ConfirmScreen(
                "Stop watching while a link is being made?",
                "It is cancelled, and what it wrote is removed. The target runs on.",
                confirm="Cancel it and stop",
                refuse="Go on",
            )
        else:
            question = ConfirmScreen(
                "Stop watching while a trigger is set?",
                "No dump will be made. The links so far stay, and the target runs on.",
                confirm="Cancel it and stop",
                refuse="Go on",
            )
        self.app.push_screen(question, lambda sure: self._unwatch(target) if sure else None)

    def _unwatch(self, target: Target) -> None:
        self._desk.watched.unwatch(target)
        self._desk.announce(self.target, What.TARGETS)
        if self.target is None:
            self.action_pick()


def _in(target: Target) -> str:
    return f" in {target.chain_directory}" if target.chain_directory is not None else ""
