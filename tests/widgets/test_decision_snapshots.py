"""How the widgets that help to decide look, as pictures, with frozen data; see `test_snapshots`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import textual
from textual.pilot import Pilot
from textual.widget import Widget

from engine.forecast.plans.verdict import Verdict
from tests.widgets import scenes
from tests.widgets.stage import MAPS, Stage, sample_of
from tui.theme import THEMES
from widgets.chain_flow import ChainFlow
from widgets.curve_chart import CurveChart
from widgets.heat_map import HeatMap
from widgets.rate_chart import ChartMark
from widgets.target_trends import TargetTrends
from widgets.verdict_panel import VerdictPanel

DRAWN_WITH = "8.2.8"
SIZES = [(80, 24), (120, 40), (200, 60)]
LOOKS = ["dirtytop-dark", "dirtytop-light", "ansi-dark", "no colour"]

pytestmark = [
    pytest.mark.skipif(
        textual.__version__ != DRAWN_WITH,
        reason=f"the pictures were taken with textual {DRAWN_WITH}; this is {textual.__version__}",
    ),
]

Compare = Callable[..., bool]

at_each_size = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40", "200x60"])
in_each_look = pytest.mark.parametrize("look", LOOKS)


@pytest.fixture
def compare(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Fill widgets once they are mounted, and compare their picture with the one kept."""
    for name in ("NO_COLOR", "COLUMNS", "LINES", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)

    def compare_filled(
        widgets: list[Widget], fill: Callable[[], None], size: tuple[int, int], look: str, *keys: str
    ) -> bool:
        if look == "no colour":
            monkeypatch.setenv("NO_COLOR", "1")
        app = Stage(*widgets)
        for theme in THEMES:
            app.register_theme(theme)
        app.theme = "dirtytop-dark" if look == "no colour" else look

        async def before(pilot: Pilot[None]) -> None:
            fill()
            await pilot.press(*keys)
            await pilot.pause()

        return snap_compare(app, terminal_size=size, run_before=before)

    return compare_filled


@at_each_size
@in_each_look
def test_heat_map(compare: Compare, size: tuple[int, int], look: str) -> None:
    heat_map = HeatMap()
    sample = sample_of((MAPS, [0, 0, 0, 400, 0, 0, 3000, 300, *[0] * 7]))

    def fill() -> None:
        heat_map.show_history(scenes.heat_of(MAPS), sample)
        heat_map.focus()

    assert compare([heat_map], fill, size, look, "down", "down", "left", "left")


@at_each_size
@in_each_look
def test_verdicts_and_targets(compare: Compare, size: tuple[int, int], look: str) -> None:
    pre_dump, unsure, small = VerdictPanel(), VerdictPanel(), VerdictPanel()
    targets = TargetTrends()

    def fill() -> None:
        pre_dump.show_truth(scenes.TRUTH)
        pre_dump.show_trigger(scenes.TRIGGER, scenes.WAITING, 118.0)
        pre_dump.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        small.compact = True
        small.show_forecast(scenes.FORECASTS[Verdict.WILL_NOT_CONVERGE])
        targets.show_targets(scenes.trends(), 0)

    assert compare([targets, small, pre_dump, unsure], fill, size, look)


@at_each_size
@in_each_look
def test_curve_and_chain(compare: Compare, size: tuple[int, int], look: str) -> None:
    chart, empty_chart, flow, empty_flow = CurveChart(), CurveChart(), ChainFlow(), ChainFlow()

    def fill() -> None:
        chart.show_curve(
            scenes.curve(),
            4096,
            time_s=200.0,
            forecast=scenes.FORECASTS[Verdict.PRE_DUMP],
            budget_bytes=150 * scenes.MIB,
            links=[ChartMark(188.0, "1")],
        )
        flow.show_links(scenes.links())
        flow.focus()

    assert compare([chart, flow, empty_chart, empty_flow], fill, size, look)


@at_each_size
def test_every_verdict(compare: Compare, size: tuple[int, int]) -> None:
    panels = {verdict: VerdictPanel() for verdict in (Verdict.DUMP_NOW, Verdict.WILL_NOT_CONVERGE)}

    def fill() -> None:
        for verdict, panel in panels.items():
            panel.show_forecast(scenes.FORECASTS[verdict])

    assert compare(list(panels.values()), fill, size, "dirtytop-dark")
