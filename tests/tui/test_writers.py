"""Who writes, in the dashboard: looked at while its screen is open, and no longer."""

from __future__ import annotations

from textual.widgets import Static

from engine.errors import NotPermitted
from engine.tracking.sample import RateMode, TrackerKind
from tests.tui.driver import POSTGRES, Dash, Dashboard
from tests.tui.machine import ScriptedMachine
from tui.screens.watch import WatchScreen
from tui.screens.writers import WritersScreen
from widgets.writer_table import WriterTable


def rows(dash: Dash) -> list[str]:
    table = dash.one(WriterTable)
    return [table.render_line(y).text.strip() for y in range(table.size.height)]


async def test_it_names_the_code_and_ends_with_its_screen(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WritersScreen, "W")
        await dash.until(lambda: any("cache::Shard::fill" in row for row in rows(dash)))
        assert "9,710 pages in 3 s · 7 unattributed" in str(dash.one("#summary", Static).content)
        (watching,) = dash.machine.writers
        assert not watching.is_closed
        await dash.opens(WatchScreen, "escape")
        await dash.until(lambda: watching.is_closed)


async def test_rows_stand_for_what_one_wants(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WritersScreen, "W")
        await dash.until(lambda: any("function" in row for row in rows(dash)))
        await dash.press("v", "v")
        await dash.until(lambda: any("worker" in row for row in rows(dash)))


async def test_where_it_is_not_to_be_had_the_reason_and_what_to_do_stand_in_place(
    dashboard: Dashboard,
) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.writers_error = NotPermitted("no [x[/] perf events", hint="set it to 1")
        await dash.opens(WritersScreen, "W")
        await dash.until(lambda: "no [x[/] perf events" in str(dash.one("#summary", Static).content))
        await dash.until(lambda: dash.one(WriterTable).empty_text == "set it to 1")


async def test_a_target_that_is_not_armed_is_armed_for_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False) as dash:
        await dash.opens(WritersScreen, "W")
        await dash.until(lambda: dash.facts.writers)
        assert dash.facts.is_armed


async def test_a_tracker_that_only_reads_re_arms_meanwhile(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WritersScreen, "W")
        await dash.until(lambda: dash.facts.writers)
        assert machine.opened[POSTGRES].mode is RateMode.REARMING
        await dash.opens(WatchScreen, "escape")
        await dash.until(lambda: machine.opened[POSTGRES].mode is RateMode.CUMULATIVE)
