"""The panels of the dashboard: what is seen of the target in view."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.pageset import PAGE_SIZE
from engine.tracking.curve import NO_CURVE
from engine.tracking.sample import RateMode
from engine.units import say_duration
from tui.desk import Desk
from tui.screens.filter_bar import FilterBar
from tui.screens.target_strip import TargetStrip
from tui.view.facts import Look
from tui.view.shown import Banner, ChainShown, Past, Shown, TargetView
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
"""How often the age of a paused view is told."""
_HIGH: Final = 34
"""Lines from which the verdict has room for large letters."""


class Dashboard(Vertical):
    """From top to bottom: who, how much, when, where."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.table = VmaTable(id="table")
        self.filter_bar = FilterBar(self.table, "part of a name, a permission or an address")
        self._desk = desk
        self._shown: TargetView | None = None
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
        self.watch(self.app, "shown", self._show)
        self.watch(self.screen, "maximized", self._fit, init=False)
        self.set_interval(_AGE_S, self._grow_older)

    def on_resize(self) -> None:
        """Where there is little room, the verdict takes two lines."""
        self._fit()

    def _fit(self) -> None:
        verdict = self.query_one(VerdictPanel)
        verdict.compact = self.app.size.height < _HIGH and self.screen.maximized is not verdict

    def _grow_older(self) -> None:
        if self._shown is not None and self._shown.facts.paused is not None:
            self._desk.changed()

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
        if self._shown is not None:
            self._show_plot(self._shown.past)

    @property
    def plot(self) -> Widget:
        """The one of the three that is in view."""
        return self.query_one(f"#{self._plot}")

    def toggle_hot_only(self) -> None:
        """Only what was written in the last tick, or everything."""
        hot_only = not self.table.hot_only
        self._show_hot_only(hot_only)
        self._desk.remember(hot_only=hot_only)

    def _show_hot_only(self, hot_only: bool) -> None:
        self.table.hot_only = hot_only
        self.table.border_subtitle = Content("hot only") if hot_only else ""
        self.filter_bar.show_count()

    # What is shown.

    def _show(self, shown: Shown) -> None:
        """Each panel is given its part; a part that is as before costs nothing."""
        before, view = self._shown, shown.current
        self._shown = view
        self._show_targets(shown)
        if view is None:
            self._show_nothing()
            return
        self._show_budget(shown.stop_budget_s)
        if before is None or before.facts.number != view.facts.number:
            self.table.clear()
            self.query_one(EventLog).clear()
            self._show_target(view, None)
        elif view is not before:
            self._show_target(view, before)

    def _show_target(self, view: TargetView, before: TargetView | None) -> None:
        """Show a target; `before`: what was shown of it so far."""
        self.query_one(TargetHeader).show_status(view.status)
        self._show_trigger(view)
        if before is None or view.chain != before.chain:
            self._show_chain(view.chain)
        self.query_one(EventLog).show_log(view.facts.log.lines, view.facts.log.count)
        if before is None or view.banner != before.banner:  # a banner lays out the whole screen
            self._say(view.banner)
        if before is None or view.past != before.past:
            self._show_plot(view.past)
        if before is None or view.past.look is not before.past.look:
            self._show_look(view.past.look)
        panel = self.query_one(VerdictPanel)
        if panel.empty_text != view.no_forecast_text:
            panel.empty_text = view.no_forecast_text

    def _show_look(self, look: Look) -> None:
        """What a tick has found."""
        panel = self.query_one(VerdictPanel)
        panel.show_forecast(look.advice.forecast)
        panel.show_truth(look.advice.truth)
        self.query_one(TotalsBar).show_sample(look.sample)
        if look.sample is not None:
            self._name_rates(look.sample.mode)
            self.table.show_sample(look.sample)
            self.filter_bar.show_count()

    def _show_nothing(self) -> None:
        self.table.clear()
        self.query_one(EventLog).clear()
        self.query_one(TargetHeader).show_status(None)
        self.query_one(TotalsBar).show_sample(None)
        self.query_one(RateChart).show_history(())
        self.query_one(HeatMap).show_history((), None)
        self.query_one(CurveChart).show_curve(NO_CURVE, PAGE_SIZE)
        self.query_one(VerdictPanel).show_forecast(None)
        chain = self.query_one(ChainView)
        chain.show_links(())
        chain.show_warning("")
        chain.show_progress(None)
        self.table.empty_text = "nothing is watched: o picks a process"
        self._say(Banner("nothing is watched: o picks a process"))

    def _show_plot(self, past: Past) -> None:
        """Draw the one in view: the others may wait."""
        look = past.look
        sample, forecast, costs = look.sample, look.advice.forecast, look.advice.costs
        for chart in (self.query_one(HeatMap), self.query_one(CurveChart)):
            chart.empty_text = past.empty_text
        if self._plot == "chart":
            self.query_one(RateChart).show_history(look.history, past.marks)
        elif self._plot == "heat":
            self.query_one(HeatMap).show_history(look.heat, sample)
        elif sample is None:
            self.query_one(CurveChart).show_curve(NO_CURVE, PAGE_SIZE)
        else:
            self.query_one(CurveChart).show_curve(
                sample.curve,
                sample.page_bytes,
                time_s=sample.time_s,
                forecast=forecast,
                budget_bytes=costs.bytes_within(forecast.budget_s) if costs is not None else None,
                links=past.marks,
            )

    def _show_trigger(self, view: TargetView) -> None:
        advice = view.facts.live.advice
        trigger = view.armed, advice.decision, advice.forecast.time_s, advice.gauges
        self.query_one(VerdictPanel).show_trigger(*trigger)

    def _name_rates(self, mode: RateMode) -> None:
        """Where ticks only read, a page counts once: when it is first written after arming."""
        titles = _CUMULATIVE_TITLES if mode is RateMode.CUMULATIVE else _TITLES
        for panel in _CUMULATIVE_TITLES:
            self.query_one(f"#{panel}").border_title = Content(titles[panel])

    def _show_chain(self, shown: ChainShown) -> None:
        chain = self.query_one(ChainView)
        chain.show_links(shown.links)
        chain.show_warning(shown.warning)
        chain.show_progress(shown.progress)
        chain.next_text = shown.next_text
        chain.border_subtitle = Content(shown.name) if shown.name else ""

    def _show_targets(self, shown: Shown) -> None:
        self.query_one(TargetStrip).show_targets(shown.targets, shown.at)
        trends = self.query_one(TargetTrends)
        trends.set_class(len(shown.targets) < 2, "-single")
        if len(shown.targets) > 1:
            trends.show_targets([view.trend for view in shown.targets], shown.at)

    def _show_budget(self, budget_s: float) -> None:
        text = f"stop budget {say_duration(budget_s)} · b less · B more"
        panel = self.query_one(VerdictPanel)
        if str(panel.border_subtitle) != text:
            panel.border_subtitle = Content(text)

    def _say(self, said: Banner) -> None:
        banner = self.query_one("#banner", Static)
        banner.update(Content(said.text))
        banner.display = bool(said.text)
        banner.set_classes(f"-{said.severity}")


def _reachable(panel: Widget) -> Widget:
    """A panel that Tab goes to, so that it can be given the whole screen."""
    panel.can_focus = True
    return panel
