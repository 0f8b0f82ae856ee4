"""The panels of the dashboard: what is seen of the target in view."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.forecast.advisor import Advice
from engine.pageset import PAGE_SIZE
from engine.printable import printable
from engine.tracking.curve import NO_CURVE
from engine.tracking.sample import RateMode
from engine.units import say_duration
from tui.changes import Change, What
from tui.comparing import trend_of
from tui.desk import Desk
from tui.screens.filter_bar import FilterBar
from tui.screens.target_strip import TargetStrip
from tui.target import Stage, Target, View
from widgets.chain_view import ChainView
from widgets.curve_chart import CurveChart
from widgets.event_log import EventLog
from widgets.heat_map import HeatMap
from widgets.rate_chart import RateChart
from widgets.target_header import TargetHeader
from widgets.target_trends import TargetTrends
from widgets.totals_bar import TotalsBar
from widgets.verdict_panel import VerdictPanel
from widgets.vma_table import VmaTable

_TITLES: Final = {
    "chart": "1 written",
    "table": "2 mappings",
    "chain": "3 chain",
    "log": "4 events",
    "verdict": "5 when to dump",
}
_PLOTS: Final = {"chart": "1 written", "heat": "1 memory over time", "curve": "1 written within t"}
"""What takes turns in one place."""
_CUMULATIVE_TITLES: Final = {
    "chart": "1 first written since armed",
    "table": "2 mappings · new: first written since armed",
}
"""Of a tracker that only reads."""
_OFF: Final = "-off"
_AWAY: Final = "-away"
_AGE_S: Final = 1.0
"""How often the age of a paused view is told anew."""
_HIGH: Final = 34
"""Lines from which the verdict has room for large letters."""


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
        self._plot = "chart"

    def compose(self) -> ComposeResult:
        """The panels; each can be hidden but the first three."""
        yield TargetHeader()
        yield TargetStrip()
        yield TargetTrends(id="targets")
        yield TotalsBar()
        banner = Static("", id="banner", markup=False)
        banner.display = False
        yield banner
        yield _reachable(VerdictPanel(id="verdict"))
        with Horizontal(id="upper"):
            yield _reachable(RateChart(id="chart"))
            yield HeatMap(id="heat")
            yield _reachable(CurveChart(id="curve"))
            with Vertical(id="side"):
                yield _reachable(ChainView(id="chain"))
                yield _reachable(EventLog(id="log"))
        yield self.table
        yield self.filter_bar

    def on_mount(self) -> None:
        """Take up the settings and whatever is watched already."""
        settings = self._desk.settings
        for panel, title in _TITLES.items():
            self.query_one(f"#{panel}").border_title = Content(title)
            self._show_panel(panel, getattr(settings, f"show_{panel}"))
        for plot, title in _PLOTS.items():
            self.query_one(f"#{plot}").border_title = Content(title)
        self._turn_to(settings.plot if settings.plot in _PLOTS else "chart")
        self._show_hot_only(settings.hot_only)
        if settings.vma_sort:
            self.table.sort_by(settings.vma_sort.removeprefix("-"), settings.vma_sort.startswith("-"))
        self._desk.changed.subscribe(self, self._changed, immediate=True)
        self.watch(self.screen, "maximized", self._fit, init=False)
        self.set_interval(_AGE_S, self._tell_age)
        self._show_target()

    def on_resize(self) -> None:
        """Where there is little room, the verdict takes two lines."""
        self._fit()

    def _fit(self) -> None:
        verdict = self.query_one(VerdictPanel)
        verdict.compact = self.app.size.height < _HIGH and self.screen.maximized is not verdict

    # What the user changes.

    def toggle_panel(self, panel: str) -> None:
        """Show or hide a panel."""
        shown = self.query_one(f"#{panel}").has_class(_OFF)
        self._show_panel(panel, shown)
        self._desk.remember(**{f"show_{panel}": shown})

    def _show_panel(self, panel: str, shown: bool) -> None:
        for each in _PLOTS if panel == "chart" else (panel,):
            self.query_one(f"#{each}").set_class(not shown, _OFF)
        off = {each for each in _TITLES if self.query_one(f"#{each}").has_class(_OFF)}
        self.query_one("#side").set_class({"chain", "log"} <= off, _OFF)
        self.query_one("#upper").set_class({"chart", "chain", "log"} <= off, _OFF)
        self.query_one("#upper").set_class("table" in off, "-fills")

    def next_plot(self) -> None:
        """Turn to the next of rates, memory over time and the curve; show it if the panel is hidden."""
        plots = list(_PLOTS)
        self._turn_to(plots[(plots.index(self._plot) + 1) % len(plots)])
        self._show_panel("chart", True)
        self._desk.remember(plot=self._plot, show_chart=True)

    def _turn_to(self, plot: str) -> None:
        had_focus = self.query_one(f"#{self._plot}").has_focus
        self._plot = plot
        for each in _PLOTS:
            self.query_one(f"#{each}").set_class(each != plot, _AWAY)
        self.query_one("#upper").set_class(plot != "chart", "-tall")
        if had_focus:
            self.plot.focus()
        if self._target is not None:
            self._show_plot(self._target)

    @property
    def plot(self) -> Widget:
        """The one of the three that is in view."""
        return self.query_one(f"#{self._plot}")

    def _show_plot(self, target: Target) -> None:
        """Draw the one in view: the others may wait."""
        view, sample = target.view, target.view.sample
        for chart in (self.query_one(HeatMap), self.query_one(CurveChart)):
            chart.empty_text = _why_no_past(target, self._desk.options.readonly)
        if self._plot == "chart":
            self.query_one(RateChart).show_history(view.history, target.marks)
        elif self._plot == "heat":
            self.query_one(HeatMap).show_history(view.heat, sample)
        elif sample is None:
            self.query_one(CurveChart).show_curve(NO_CURVE, PAGE_SIZE)
        else:
            forecast, costs = view.advice.forecast, view.advice.costs
            self.query_one(CurveChart).show_curve(
                sample.curve,
                sample.page_bytes,
                time_s=sample.time_s,
                forecast=forecast,
                budget_bytes=costs.bytes_within(forecast.budget_s) if costs is not None else None,
                links=target.marks,
            )

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
            if change.what in (What.SAMPLE, What.STATUS):
                self._show_strip()

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
        self.query_one(HeatMap).show_history((), None)
        self.query_one(CurveChart).show_curve(NO_CURVE, PAGE_SIZE)
        self.query_one(VerdictPanel).show_forecast(None)
        self.query_one(ChainView).show_links(())
        self.query_one(ChainView).show_warning("")
        self.query_one(ChainView).show_progress(None)
        self.table.empty_text = "nothing is watched: o picks a process"
        self._say("nothing is watched: o picks a process", "information")

    def _show_sample(self, target: Target) -> None:
        self._show_status(target)
        view = target.view
        if view is self._shown:
            return
        self._shown = view
        self.query_one(TotalsBar).show_sample(view.sample)
        self._show_advice(target, view.advice)
        self._show_plot(target)
        if view.sample is not None:
            self._name_rates(view.sample.mode)
            self.table.show_sample(view.sample)
            self.filter_bar.show_count()

    def _show_advice(self, target: Target, advice: Advice) -> None:
        panel = self.query_one(VerdictPanel)
        panel.empty_text = _why_unknown(target, self._desk.options.readonly)
        panel.show_forecast(advice.forecast)
        panel.show_truth(advice.truth)

    def _show_trigger(self, target: Target) -> None:
        """As of the last tick, even while the view is frozen: it may fire any time."""
        advice, panel = target.live.advice, self.query_one(VerdictPanel)
        armed = advice.armed if target.wait is not None else None
        panel.show_trigger(armed, advice.decision, advice.forecast.time_s, advice.gauges)

    def _name_rates(self, mode: RateMode) -> None:
        """Where ticks only read, a page counts once: when it is first written after arming."""
        titles = _CUMULATIVE_TITLES if mode is RateMode.CUMULATIVE else _TITLES
        for panel in _CUMULATIVE_TITLES:
            self.query_one(f"#{panel}").border_title = Content(titles[panel])

    def _show_links(self, target: Target) -> None:
        chain = self.query_one(ChainView)
        chain.show_links(target.links)
        chain.show_warning(target.broken)
        chain.next_text = _what_next(target)
        chain.border_subtitle = Content(printable(target.directory.name)) if target.directory else ""
        self._show_plot(target)

    def _show_strip(self) -> None:
        watched = self._desk.watched
        self.query_one(TargetStrip).show_targets(watched.targets, watched.current)
        trends = self.query_one(TargetTrends)
        trends.set_class(len(watched.targets) < 2, "-single")
        if len(watched.targets) > 1:
            at = watched.targets.index(watched.current) if watched.current is not None else None
            trends.show_targets([trend_of(target) for target in watched.targets], at)

    def _tell_age(self) -> None:
        if self._target is not None and self._target.is_paused:
            self._show_status(self._target)

    def _show_budget(self) -> None:
        text = f"stop budget {say_duration(self._desk.stop_budget_s)} · b less · B more"
        panel = self.query_one(VerdictPanel)
        if str(panel.border_subtitle) != text:
            panel.border_subtitle = Content(text)

    def _show_status(self, target: Target) -> None:
        self._show_budget()
        self.query_one(TargetHeader).show_status(target.status(self._desk.clock.monotonic()))
        self._show_trigger(target)
        self._say(*_banner(target, self._desk.options.readonly))

    def _say(self, text: str, severity: str) -> None:
        if (text, severity) == self._said:  # a banner told anew would lay out the whole screen anew
            return
        self._said = text, severity
        banner = self.query_one("#banner", Static)
        banner.update(Content(text))
        banner.display = bool(text)
        banner.set_classes(f"-{severity}")


def _reachable(panel: Widget) -> Widget:
    """A panel that Tab goes to, so that it can be given the whole screen."""
    panel.can_focus = True
    return panel


def _why_unknown(target: Target, readonly: bool) -> str:
    """What is to be done, or waited for, while nothing is foreseen."""
    if readonly:
        return "Read-only: there is no forecast of what a dump would cost."
    if not target.is_armed:
        return "Press a to arm: after a few ticks this tells what a dump would cost."
    return "A few ticks more, and a look at the disk: then this tells what a dump costs."


def _why_no_past(target: Target, readonly: bool) -> str:
    """What is to be done, or waited for, while there is nothing to draw."""
    if target.is_armed:
        return "Armed: with the next ticks it shows here which memory is written, and how much of it."
    if readonly:
        return "Read-only: nothing is armed, so nothing shows here."
    return "Nothing is tracked yet. Press a to arm: then it shows here which memory is written."


def _what_next(target: Target) -> str:
    """What a chain is for, step by step."""
    if target.open_chain is not None:
        steps = "d adds what changed", "D ends it", "l opens it"
    elif target.newest_restorable is not None:
        steps = "ended", "y copies its restore", "l opens it"
    else:
        steps = "ended", "l opens it", "d begins another"
    # Lines are broken between steps and not within them.
    return " · ".join(step.replace(" ", "\N{NO-BREAK SPACE}") for step in steps)


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
