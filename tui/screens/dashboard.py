"""The panels of the dashboard: what is seen of the target in view."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from engine.printable import printable
from engine.tracking.sample import RateMode
from tui.desk import Change, Desk, What
from tui.screens.filter_bar import FilterBar
from tui.screens.target_strip import TargetStrip
from tui.target import Stage, Target, View
from widgets.chain_view import ChainView
from widgets.event_log import EventLog
from widgets.rate_chart import RateChart
from widgets.target_header import TargetHeader
from widgets.totals_bar import TotalsBar
from widgets.vma_table import VmaTable

_TITLES: Final = {"chart": "1 written", "table": "2 mappings", "chain": "3 chain", "log": "4 events"}
_CUMULATIVE_TITLES: Final = {
    "chart": "1 first written since armed",
    "table": "2 mappings · new: first written since armed",
}
"""Of a tracker that only reads."""
_OFF: Final = "-off"
_AGE_S: Final = 1.0
"""How often the age of a paused view is told anew."""


class Dashboard(Vertical):
    """From top to bottom: who, how much, when, where."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.table = VmaTable(id="table")
        self.filter_bar = FilterBar(self.table, "part of a name, a permission or an address")
        self._desk = desk
        self._target: Target | None = None
        self._shown: View | None = None
        self._said = ("", "")

    def compose(self) -> ComposeResult:
        """The panels; each can be hidden but the first three."""
        yield TargetHeader()
        yield TargetStrip()
        yield TotalsBar()
        banner = Static("", id="banner", markup=False)
        banner.display = False
        yield banner
        with Horizontal(id="upper"):
            yield RateChart(id="chart")
            with Vertical(id="side"):
                yield ChainView(id="chain")
                yield EventLog(id="log")
        yield self.table
        yield self.filter_bar

    def on_mount(self) -> None:
        """Take up the settings and whatever is watched already."""
        settings = self._desk.settings
        for panel, title in _TITLES.items():
            self.query_one(f"#{panel}").border_title = Content(title)
            self._show_panel(panel, getattr(settings, f"show_{panel}"))
        self._show_hot_only(settings.hot_only)
        if settings.vma_sort:
            self.table.sort_by(settings.vma_sort.removeprefix("-"), settings.vma_sort.startswith("-"))
        self._desk.changed.subscribe(self, self._changed, immediate=True)
        self.set_interval(_AGE_S, self._tell_age)
        self._show_target()

    # What the user changes.

    def toggle_panel(self, panel: str) -> None:
        """Show or hide a panel."""
        shown = self.query_one(f"#{panel}").has_class(_OFF)
        self._show_panel(panel, shown)
        self._desk.remember(**{f"show_{panel}": shown})

    def _show_panel(self, panel: str, shown: bool) -> None:
        self.query_one(f"#{panel}").set_class(not shown, _OFF)
        off = {each for each in _TITLES if self.query_one(f"#{each}").has_class(_OFF)}
        self.query_one("#side").set_class({"chain", "log"} <= off, _OFF)
        self.query_one("#upper").set_class({"chart", "chain", "log"} <= off, _OFF)

    def toggle_hot_only(self) -> None:
        """Only what was written in the last tick, or everything."""
        hot_only = not self.table.hot_only
        self._show_hot_only(hot_only)
        self._desk.remember(hot_only=hot_only)

    def _show_hot_only(self, hot_only: bool) -> None:
        self.table.hot_only = hot_only
        self.table.border_subtitle = Content("hot only") if hot_only else ""
        self.filter_bar.show_count()

    # What happens.

    def _changed(self, change: Change) -> None:
        if change.what is What.TARGETS:
            self._show_target()
        elif change.target is not self._target:
            self._show_strip()
        elif self._target is not None:
            self._show_part(self._target, change.what)

    def _show_part(self, target: Target, what: What) -> None:
        match what:
            case What.SAMPLE:
                self._show_sample(target)
            case What.STATUS:
                self._show_status(target)
                self.query_one(ChainView).show_warning(target.broken)
            case What.LINKS:
                self._show_links(target)
            case What.PROGRESS:
                self.query_one(ChainView).show_progress(target.progress)
            case What.LOG:
                line = target.log[-1]
                self.query_one(EventLog).add(line.clock, line.text, line.severity)

    def _show_target(self) -> None:
        """Everything anew: another target is in view."""
        target = self._desk.watched.current
        self._show_strip()
        if target is not self._target:
            self._target, self._shown = target, None
            self.table.clear()
            log = self.query_one(EventLog)
            log.clear()
            for line in target.log if target else ():
                log.add(line.clock, line.text, line.severity)
        if target is None:
            self._show_nothing()
            return
        self._show_sample(target)
        self._show_links(target)
        self.query_one(ChainView).show_progress(target.progress)

    def _show_nothing(self) -> None:
        self.query_one(TargetHeader).show_status(None)
        self.query_one(TotalsBar).show_sample(None)
        self.query_one(RateChart).show_history(())
        self.query_one(ChainView).show_links(())
        self.query_one(ChainView).show_warning("")
        self.query_one(ChainView).show_progress(None)
        self._say("nothing is watched: o picks a process", "information")

    def _show_sample(self, target: Target) -> None:
        self._show_status(target)
        view = target.view
        if view is self._shown:
            return
        self._shown = view
        self.query_one(TotalsBar).show_sample(view.sample)
        self.query_one(RateChart).show_history(view.history, target.marks)
        if view.sample is not None:
            self._name_rates(view.sample.mode)
            self.table.show_sample(view.sample)
            self.filter_bar.show_count()

    def _name_rates(self, mode: RateMode) -> None:
        """Where ticks only read, a page counts once: when it is first written after arming."""
        titles = _CUMULATIVE_TITLES if mode is RateMode.CUMULATIVE else _TITLES
        for panel in _CUMULATIVE_TITLES:
            self.query_one(f"#{panel}").border_title = Content(titles[panel])

    def _show_links(self, target: Target) -> None:
        chain = self.query_one(ChainView)
        chain.show_links(target.links)
        chain.show_warning(target.broken)
        chain.border_subtitle = Content(printable(target.directory.name)) if target.directory else ""
        self.query_one(RateChart).show_history(target.view.history, target.marks)

    def _show_strip(self) -> None:
        watched = self._desk.watched
        self.query_one(TargetStrip).show_targets(watched.targets, watched.current)

    def _tell_age(self) -> None:
        if self._target is not None and self._target.is_paused:
            self._show_status(self._target)

    def _show_status(self, target: Target) -> None:
        self.query_one(TargetHeader).show_status(target.status(self._desk.clock.monotonic()))
        self._say(*_banner(target, self._desk.options.readonly))

    def _say(self, text: str, severity: str) -> None:
        if (text, severity) == self._said:  # a banner told anew would lay out the whole screen anew
            return
        self._said = text, severity
        banner = self.query_one("#banner", Static)
        banner.update(Content(text))
        banner.display = bool(text)
        banner.set_classes(f"-{severity}")


def _banner(target: Target, readonly: bool) -> tuple[str, str]:
    """What stands between the user and live figures, and how bad it is."""
    match target.stage:
        case Stage.OPENING:
            return f"opening process {target.pid} …", "information"
        case Stage.REFUSED:
            error = target.error
            hint = f" — {error.hint}" if error and error.hint else ""
            return printable(f"{error.message if error else 'cannot be watched'}{hint}"), "error"
        case Stage.GONE:
            return "The target has exited. What was seen of it stays; o picks another process.", "warning"
    if target.is_paused:
        return "paused: sampling goes on; p shows what happens again", "warning"
    if readonly:
        return "read-only: nothing is armed, nothing is dumped", "information"
    if not target.is_armed:
        return "not armed: a shows every write from then on", "information"
    return "", "information"
