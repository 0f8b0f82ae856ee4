"""The dashboard of one target: what it writes, where, and the chain of its checkpoint so far."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer

from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode
from tui import keys
from tui.desk import Desk
from tui.screens.dashboard import Dashboard
from tui.screens.maker_log import show_maker_log
from tui.screens.making_links import MakingLinks
from tui.screens.questions import before_breaking_chain, before_letting_go
from tui.screens.restore import copy_restore
from tui.screens.target_strip import TargetStrip
from tui.settings import INTERVALS_S, STOP_BUDGETS_S, next_above, next_below
from tui.targets.target import Target
from tui.view.facts import Facts
from tui.view.shown import Shown
from tui.words import lent_text
from widgets.heat_map import HeatMap
from widgets.line_table import LineTable
from widgets.target_trends import TargetTrends

_NARROW: Final = 90
"""Cells below which the footer has no room for all."""


class WatchScreen(Screen[None]):
    """Shows the target in view; its keys act on that target."""

    AUTO_FOCUS = "VmaTable"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.WATCH]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._dashboard = Dashboard(desk)
        self._can: dict[str, bool | None] = {}
        self._heat_leads = False

    @property
    def target(self) -> Target | None:
        """The target in view."""
        return self._desk.watched.current

    @property
    def _facts(self) -> Facts | None:
        return self.target.facts if self.target is not None else None

    def compose(self) -> ComposeResult:
        """The panels, and the keys."""
        yield self._dashboard
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """What the keys can do depends on the target."""
        self.watch(self.app, "shown", self._show)

    def _show(self, shown: Shown) -> None:
        if shown.can != self._can:
            self._can = dict(shown.can)
            self.refresh_bindings()
            self._fit_footer()

    def on_resize(self) -> None:
        """There may be more room for the footer, or less."""
        self._fit_footer()

    def _fit_footer(self) -> None:
        """In a narrow terminal the menu makes room for the key that cancels."""
        has_cancel = self._can.get("cancel", True)
        self.query_one(Footer).show_command_palette = not (has_cancel and self.app.size.width < _NARROW)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what makes no sense here, dim what makes none now."""
        if action == "clear_filter":
            return self._dashboard.filter_bar.is_open
        return self._can.get(action, True)

    # Tracking.

    def action_arm(self) -> None:
        """See writes from now on. Nothing is lost by it, but a chain of CRIU's is asked about first."""
        target = self.target
        if target is None or target.sampler is None:
            return
        sampler = target.sampler
        if not target.facts.is_lent:
            sampler.arm()
            return
        question = before_breaking_chain(target.facts)
        self.app.push_screen(question, lambda sure: sampler.arm(even_if_lent=True) if sure else None)

    def action_next_mode(self) -> None:
        """Go to the tracker's next mode."""
        target = self.target
        if target is None or target.sampler is None or target.facts.live.sample is None:
            return
        facts, sample = target.facts, target.facts.live.sample
        if facts.is_lent:
            self._desk.tell(f"{lent_text(facts.chain_directory)}.", title="Mode", severity="warning")
            return
        mode = facts.modes[(facts.modes.index(sample.mode) + 1) % len(facts.modes)]
        target.sampler.set_mode(mode)
        does = "a tick only reads" if mode is RateMode.CUMULATIVE else "every tick clears: true rates"
        self._desk.note(target, f"{mode.value}: {does}")

    def action_shorter(self) -> None:
        """Tick more often."""
        if self.target is not None:
            self._set_interval(self.target, next_below(INTERVALS_S, self.target.facts.interval_s))

    def action_longer(self) -> None:
        """Tick less often."""
        if self.target is not None:
            self._set_interval(self.target, next_above(INTERVALS_S, self.target.facts.interval_s))

    def _set_interval(self, target: Target, interval_s: float) -> None:
        target.set_interval(interval_s)
        self._desk.remember(interval_s=interval_s)

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

    # Links.

    @property
    def _links(self) -> MakingLinks:
        return MakingLinks(self.app, self._desk)

    def action_pre_dump(self) -> None:
        """Add a link to the chain under way; without one, ask where to begin it."""
        if self.target is not None and not self.target.facts.is_busy:
            self._links.pre_dump(self.target)

    def action_dump(self) -> None:
        """Ask where and how, then end the chain."""
        if self.target is not None and not self.target.facts.is_busy:
            self._links.ask(self.target, LinkKind.DUMP)

    def action_when(self) -> None:
        """Ask what to wait for, then where and how to dump."""
        if self.target is not None and not self.target.facts.is_busy:
            self._links.ask_when(self.target)

    def action_cancel(self) -> None:
        """Have the running link given up, and the trigger cancelled."""
        if self.target is not None:
            self._links.cancel(self.target)

    def action_links(self) -> None:
        """Show the chain's links in full."""
        if self.target is not None and self.target.facts.links:
            from tui.screens.links import LinksScreen

            self.app.push_screen(LinksScreen(self._desk, self.target))

    def action_writers(self) -> None:
        """Find out, and show, which code writes the target."""
        if self.target is not None and self.target.facts.is_ready:
            from tui.screens.writers import WritersScreen

            self.app.push_screen(WritersScreen(self._desk, self.target))

    def action_copy_restore(self) -> None:
        """Put the command that makes the target again into the clipboard."""
        if self._facts is not None and self._facts.newest_restorable is not None:
            copy_restore(self.app, self._desk, self._facts.newest_restorable)

    def action_maker_log(self) -> None:
        """Show the log of the program that made the last link, or failed to."""
        facts = self._facts
        if facts is None:
            return
        path = facts.failed_log
        if path is None and facts.links:
            path = self._desk.backend.find_log(facts.links[-1].path)
        show_maker_log(self.app, self._desk, path)

    def action_log(self) -> None:
        """Show the whole event log."""
        if self.target is not None:
            from tui.screens.log import LogScreen

            self.app.push_screen(LogScreen(self.target))

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
        watched = self._desk.watched
        watched.bring_into_view(watched.targets[event.index])

    def action_unwatch(self) -> None:
        """Let the target in view go; asks if a link of it is being made, or a trigger is set."""
        target = self.target
        if target is None:
            return
        question = before_letting_go(target.facts)
        if question is None:
            self._unwatch(target)
        else:
            self.app.push_screen(question, lambda sure: self._unwatch(target) if sure else None)

    def _unwatch(self, target: Target) -> None:
        self._desk.watched.unwatch(target)
        if self.target is None:
            self.action_pick()
