"""Pre-dumps and dumps from the dashboard: dialogs, questions, progress, results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Button, Static

from engine.checkpoint.link import After
from engine.errors import LinkFailed
from engine.images.layout import LinkKind
from tests.tui.machine import Launch, ScriptedMachine, Until, banner, current, run, toasts
from tui import messages
from tui.app import DirtytopApp
from tui.screens.choice import Choice
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump import DumpScreen
from tui.screens.links import LinksScreen
from tui.screens.watch import WatchScreen
from tui.target import Stage
from tui.told import Told
from widgets.process_table import ProcessTable
from widgets.target_header import TargetState

POSTGRES = 40
TRAINING = 60


async def test_the_dialog_follows_what_the_target_writes_meanwhile(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).links)
        machine.ticking.clear()
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        sample = machine.opened[POSTGRES].sample(5)
        later = replace(sample, totals=replace(sample.totals, pending_pages=1792))
        app.post_message(Told(current(app), messages.Sampled(later, True, ())))
        await until(
            pilot, lambda: "writes about 7.0 MiB" in str(app.screen.query_one("#go-on", Choice).label)
        )


async def test_a_process_is_picked_armed_pre_dumped_and_dumped(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(arm=False)
    async with run(app) as pilot:
        table = app.screen.query_one(ProcessTable)
        await until(pilot, lambda: table.row_count)
        await pilot.press("slash", *"postgres -D")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        target = current(app)
        await until(pilot, lambda: target.live.sample)
        assert target.pid == POSTGRES
        assert not target.is_armed

        await pilot.press("a")
        await until(pilot, lambda: target.is_armed)
        assert target.status(0.0).state is TargetState.ARMED

        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("enter")
        await until(pilot, lambda: len(target.links) == 1)
        assert target.links[0].kind is LinkKind.PRE_DUMP

        await pilot.press("d")  # the second needs no question
        await until(pilot, lambda: len(target.links) == 2)

        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(target.links) == 3)
        assert [link.kind for link in target.links] == [LinkKind.PRE_DUMP, LinkKind.PRE_DUMP, LinkKind.DUMP]
        assert machine.afters == [After.RUN]
        assert len(machine.chains) == 1
        assert target.open_chain is None
        assert "dump 3" in toasts(app)


async def test_enter_on_a_fresh_dump_dialog_leaves_everything_as_it_is(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("D", "enter")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert machine.chains == []
        assert not current(app).is_busy


async def dump_with(pilot: Pilot[Any], app: DirtytopApp, until: Until, after: After) -> None:
    await until(pilot, lambda: current(app).live.sample)
    await pilot.press("D")
    await until(pilot, lambda: isinstance(app.screen, DumpScreen))
    await pilot.click(f"#after-{after.value}")
    await pilot.press("ctrl+s")


async def test_killing_is_asked_about_once_more_and_refusing_is_the_default(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dump_with(pilot, app, until, After.KILL)
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        assert machine.chains == []


async def test_a_confirmed_kill_is_done_and_the_target_is_shown_as_gone(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dump_with(pilot, app, until, After.KILL)
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.click("#confirm")
        await until(pilot, lambda: current(app).stage is Stage.GONE)
        assert machine.afters == [After.KILL]
        assert current(app).links
        assert "has exited" in banner(app)


async def test_stopping_needs_no_second_question(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dump_with(pilot, app, until, After.STOP)
        await until(pilot, lambda: current(app).links)
        assert machine.afters == [After.STOP]


async def test_a_running_link_can_be_cancelled(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    machine.linking.clear()
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).progress)
        await pilot.press("c")
        await until(pilot, lambda: not current(app).is_busy)
        assert "cancelled" in toasts(app)
        assert current(app).links == ()
        assert current(app).progress is None


async def test_a_target_has_one_job_at_a_time(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    machine.linking.clear()
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).is_busy)
        await pilot.press("d", "D")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        assert len(machine.chains) == 1


async def test_a_failed_link_is_told_with_its_hint_and_in_literal_text(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    machine.link_error = LinkFailed("[/nowhere] is full [@click=app.quit]", hint="free [bold]space")
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: "is full" in toasts(app))
        assert "[/nowhere] is full [@click=app.quit]\nfree [bold]space" in toasts(app)
        machine.link_error = None
        # The directory of the command line did not do: the next try asks.
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))


async def test_leaving_while_a_link_is_made_asks_and_then_cancels_it(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    machine.linking.clear()
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).is_busy)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("enter")  # stays
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert current(app).is_busy
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.click("#confirm")
    assert app.desk.watched.join()
    assert machine.opened[POSTGRES].is_closed
    assert machine.links == []


async def test_enter_or_a_click_on_the_chain_shows_its_links_in_full(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).links)
        for opened in (pilot.press("enter"), pilot.click("#chain")):
            await opened
            await until(pilot, lambda: isinstance(app.screen, LinksScreen))
            shown = "\n".join(str(static.content) for static in app.screen.query(Static))
            assert "425.6 MiB (108,944 pages)" in shown
            assert "never stopped" in shown
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, WatchScreen))
