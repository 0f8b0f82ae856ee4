"""Pre-dumps and dumps from the dashboard: dialogs, questions, progress, results."""

from __future__ import annotations

from dataclasses import replace

from engine.checkpoint.link import After
from engine.errors import LinkFailed
from engine.images.layout import LinkKind
from tests.tui.driver import CHAIN, POSTGRES, Dash, Dashboard
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump.screen import DumpScreen
from tui.screens.links import LinksScreen
from tui.screens.watch import WatchScreen
from tui.view.facts import Stage
from widgets.process_table import ProcessTable
from widgets.target_header import TargetState


async def test_the_dialog_follows_what_the_target_writes_meanwhile(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        dash.machine.ticking.clear()
        await dash.opens(DumpScreen, "D")
        sample = dash.tracking.sample(5)
        await dash.tick(replace(sample, totals=replace(sample.totals, pending_pages=1792)))
        await dash.sees("writes about 7.0 MiB")


async def test_a_process_is_picked_armed_pre_dumped_and_dumped(dashboard: Dashboard) -> None:
    async with dashboard(arm=False) as dash:
        table = dash.one(ProcessTable)
        await dash.until(lambda: table.row_count)
        await dash.press("slash", *"postgres -D")
        await dash.opens(WatchScreen, "enter", "enter")
        await dash.until(lambda: dash.facts.live.sample)
        assert dash.facts.pid == POSTGRES
        assert not dash.facts.is_armed

        await dash.press("a")
        await dash.until(lambda: dash.view.status.state is TargetState.ARMED)

        await dash.opens(DumpScreen, "d")
        await dash.go_on("enter")
        await dash.links(1)

        await dash.link()  # the second needs no question

        await dash.opens(DumpScreen, "D")
        await dash.link("ctrl+s")
        kinds = [link.kind for link in dash.facts.links]
        assert kinds == [LinkKind.PRE_DUMP, LinkKind.PRE_DUMP, LinkKind.DUMP]
        assert dash.machine.afters == [After.RUN]
        assert len(dash.machine.chains) == 1
        assert dash.facts.open_chain is None
        assert "dump 3" in dash.toasts


async def test_enter_on_a_fresh_dump_dialog_leaves_everything_as_it_is(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WatchScreen, "D", "enter")
        assert dash.machine.chains == []
        assert not dash.facts.is_busy


async def dump_with(dash: Dash, after: After) -> None:
    await dash.opens(DumpScreen, "D")
    await dash.click(f"#after-{after.value}")
    await dash.press("ctrl+s")


async def test_killing_is_asked_about_once_more_and_refusing_is_the_default(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dump_with(dash, After.KILL)
        await dash.opens(ConfirmScreen)
        await dash.opens(DumpScreen, "enter")
        assert dash.machine.chains == []


async def test_a_confirmed_kill_is_done_and_the_target_is_shown_as_gone(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dump_with(dash, After.KILL)
        await dash.opens(ConfirmScreen)
        await dash.click("#confirm")
        await dash.until(lambda: dash.facts.stage is Stage.GONE)
        assert dash.machine.afters == [After.KILL]
        assert dash.facts.links
        assert "has exited" in dash.banner


async def test_stopping_needs_no_second_question(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dump_with(dash, After.STOP)
        await dash.links(1)
        assert dash.machine.afters == [After.STOP]


async def test_a_running_link_can_be_cancelled(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        dash.machine.linking.clear()
        await dash.press("d")
        await dash.until(lambda: dash.facts.progress)
        await dash.press("c")
        await dash.until(lambda: not dash.facts.is_busy)
        assert "cancelled" in dash.toasts
        assert dash.facts.links == ()
        assert dash.facts.progress is None


async def test_a_target_has_one_job_at_a_time(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        dash.machine.linking.clear()
        await dash.press("d")
        await dash.until(lambda: dash.facts.is_busy)
        await dash.press("d", "D")
        await dash.pause()
        assert dash.is_on(WatchScreen)
        assert len(dash.machine.chains) == 1


async def test_a_failed_link_is_told_with_its_hint_and_in_literal_text(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        dash.machine.link_error = LinkFailed("[/nowhere] is full [@click=app.quit]", hint="free [bold]space")
        await dash.press("d")
        await dash.sees("is full")
        assert "[/nowhere] is full [@click=app.quit]\nfree [bold]space" in dash.toasts
        dash.machine.link_error = None
        # The directory of the command line did not do: the next try asks.
        await dash.opens(DumpScreen, "d")


async def test_leaving_while_a_link_is_made_asks_and_then_cancels_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        dash.machine.linking.clear()
        await dash.press("d")
        await dash.until(lambda: dash.facts.is_busy)
        await dash.opens(ConfirmScreen, "q")
        await dash.opens(WatchScreen, "enter")  # stays
        assert dash.facts.is_busy
        await dash.opens(ConfirmScreen, "q")
        await dash.click("#confirm")
    assert dash.app.desk.watched.join()
    assert dash.tracking.is_closed
    assert dash.machine.links == []


async def test_enter_or_a_click_on_the_chain_shows_its_links_in_full(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        for opened in (dash.press("enter"), dash.click("#chain")):
            await opened
            await dash.opens(LinksScreen)
            await dash.sees("425.6 MiB (108,944 pages)", "never stopped")
            await dash.opens(WatchScreen, "escape")
