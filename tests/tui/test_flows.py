"""From the picker to the dashboard and back: what the keys do, and what is said when they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Button, Input, Static

from engine.errors import LinkFailed, NotPermitted, TargetGone
from engine.images.layout import LinkKind
from engine.tracking.sample import Event, EventKind, RateMode, TrackerKind
from tests.tui.machine import Launch, ScriptedMachine, Until, banner, current, run, toasts
from tui.endings import thread_failures_go_to
from tui.screens.dump import DumpScreen
from tui.screens.pick import PickScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from tui.settings import Settings
from tui.target import Stage
from widgets.chain_view import ChainView
from widgets.heat_map import HeatMap
from widgets.process_table import ProcessIdentity, ProcessTable
from widgets.target_header import TargetState
from widgets.vma_table import VmaTable

POSTGRES = 40
TRAINING = 60


async def test_a_refused_arming_is_told_and_sampling_goes_on(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, arm=False)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        machine.opened[POSTGRES].refuses = NotPermitted("process 40: not permitted", hint="be root")
        await pilot.press("a")
        await until(pilot, lambda: "not permitted" in toasts(app))
        seen = machine.opened[POSTGRES].ticks
        await until(pilot, lambda: machine.opened[POSTGRES].ticks > seen)


async def test_a_target_that_cannot_be_opened_says_why_in_the_banner(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.open_errors[POSTGRES] = NotPermitted("process 40: not permitted [/]", hint="be root")
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).stage is Stage.REFUSED)
        assert banner(app) == "process 40: not permitted [/] — be root"
        await pilot.press("a", "d", "D", "m", "p", "c")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)


async def test_a_pause_freezes_the_view_while_sampling_goes_on(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("p")
        target = current(app)
        shown = target.view.sample
        assert target.status(0.0).state is TargetState.PAUSED
        assert "paused" in banner(app)
        await until(pilot, lambda: target.live.sample is not shown)
        assert target.view.sample is shown
        await pilot.press("p")
        await until(pilot, lambda: target.view.sample is target.live.sample)
        assert banner(app) == ""


async def test_the_interval_goes_up_and_down_and_is_remembered(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, interval_s=1.0)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("plus")
        assert current(app).interval_s == 2.0
        await pilot.press("minus", "minus")
        assert current(app).interval_s == 0.5
        assert app.remembered().interval_s == 0.5


async def test_a_mode_can_be_changed_only_where_the_tracker_has_another(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, tracker=TrackerKind.SOFT_DIRTY)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("m")
        await until(pilot, lambda: machine.opened[POSTGRES].mode is RateMode.REARMING)
    app = launch(TRAINING, tracker=TrackerKind.WRITE_PROTECT)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("m")
        await pilot.pause()
        assert machine.opened[TRAINING].calls == ["arm"]


async def test_a_target_that_exits_leaves_its_history_and_another_can_be_picked(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: len(current(app).live.history) > 3)
        machine.exit(POSTGRES)
        await until(pilot, lambda: current(app).stage is Stage.GONE)
        assert "has exited" in banner(app)
        assert len(current(app).view.history) > 3
        assert current(app).view.sample is not None
        await pilot.press("d", "D", "a")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await until(pilot, lambda: app.screen.query_one(ProcessTable).row_count)
        await pilot.press("slash", *"train", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert current(app).pid == TRAINING
        assert len(app.desk.watched.targets) == 2


async def test_read_only_neither_arms_nor_dumps(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, arm=True, readonly=True)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        assert "read-only" in banner(app)
        await pilot.press("a", "d", "D")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        assert machine.opened[POSTGRES].calls == []
        assert machine.chains == []


async def test_several_tagged_processes_are_watched_side_by_side(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch()
    async with run(app) as pilot:
        table = app.screen.query_one(ProcessTable)
        await until(pilot, lambda: table.row_count)
        for pid in (POSTGRES, TRAINING):
            row = next(row for row in machine.rows if row.pid == pid)
            assert table.move_cursor_to(ProcessIdentity(row.pid, row.start_ticks))
            await pilot.press("space")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert sorted(target.pid for target in app.desk.watched.targets) == [POSTGRES, TRAINING]
        first = current(app).pid
        await pilot.press("right_square_bracket")
        second = current(app).pid
        assert {first, second} == {POSTGRES, TRAINING}
        await pilot.press("left_square_bracket")
        assert current(app).pid == first
        await pilot.press("x")
        assert current(app).pid == second
        await until(pilot, lambda: machine.opened[first].is_closed)


async def test_what_cannot_be_watched_is_refused_with_its_reason(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch()
    async with run(app) as pilot:
        await until(pilot, lambda: app.screen.query_one(ProcessTable).row_count)
        await pilot.press("slash", *"kthreadd", "enter", "enter")
        await until(pilot, lambda: "kernel thread" in toasts(app))
        assert isinstance(app.screen, PickScreen)
        assert machine.opened == {}


async def test_a_pid_that_was_used_again_since_it_was_picked_is_refused(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        app.desk.watch(TRAINING, start_ticks=1)
        await until(pilot, lambda: current(app).stage is Stage.REFUSED)
        assert isinstance(current(app).error, TargetGone)
        assert machine.opened[TRAINING].is_closed


async def test_leaving_lets_every_target_go(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES, TRAINING)
    async with run(app) as pilot:
        await until(pilot, lambda: len(machine.opened) == 2)
        await pilot.press("q")
    assert app.desk.watched.join()
    assert all(target.is_closed for target in machine.opened.values())


HOSTILE = ["[heap]", "x[/foo]", "[@click=app.quit]x[/]", "\\", "[", "␛]0;title␇", "名前" * 40]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_name_is_shown_as_it_is_everywhere(
    launch: Launch, machine: ScriptedMachine, until: Until, name: str, tmp_path: Path
) -> None:
    machine.commands[POSTGRES] = name
    machine.link_error = LinkFailed(name, hint=name)
    machine.rows = tuple(row for row in machine.rows if row.pid != POSTGRES)
    app = launch(POSTGRES, TRAINING, directory=tmp_path)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).command == name)
        machine.opened[POSTGRES].events.append(Event(EventKind.UNTRACKABLE, POSTGRES, name))
        await pilot.press("d")
        await until(pilot, lambda: name in toasts(app))
        for key in ("D", "e", "question_mark", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause()
            await pilot.press("escape")
        await pilot.press("q")


async def test_a_thread_that_breaks_ends_the_program_with_its_traceback(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)

    async def watch_it_break() -> None:
        with thread_failures_go_to(app.thread_failed):
            await watch()

    async def watch() -> None:
        async with run(app) as pilot:
            await until(pilot, lambda: current(app).live.sample)
            machine.opened[POSTGRES].breaks = ZeroDivisionError("a bug")
            await until(pilot, lambda: app.return_code is not None)

    with pytest.raises(ZeroDivisionError):
        await watch_it_break()


async def test_the_directory_of_the_command_line_is_used_without_a_question(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).links)
        assert machine.chains[0].directory == tmp_path / "chain"


async def test_the_directory_of_the_command_line_is_what_a_dump_offers_and_not_remembered(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        assert app.screen.query_one("#directory", Input).value == str(tmp_path / "chain")
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).links)
        assert machine.chains[0].directory == tmp_path / "chain"
    assert app.remembered().last_directory == ""


async def test_a_view_without_anything_to_draw_says_what_to_press(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, arm=False, settings=Settings(plot="heat"))
    async with run(app) as pilot:
        heat = app.screen.query_one(HeatMap)
        await until(pilot, lambda: current(app).live.sample)
        await until(pilot, lambda: "Press a to arm" in heat.empty_text)
        await pilot.press("a")
        await until(pilot, lambda: "Armed" in heat.empty_text)


async def test_the_chain_says_step_by_step_what_can_be_done_next(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        chain = app.screen.query_one(ChainView)
        assert "press d" in chain.empty_text
        await pilot.press("d")
        await until(pilot, lambda: current(app).links)
        assert "D\N{NO-BREAK SPACE}ends" in chain.next_text
        await pilot.press("D", "ctrl+s")
        await until(pilot, lambda: len(current(app).links) == 2)
        assert chain.next_text.startswith("ended")


async def test_a_chain_under_way_is_offered_as_parent_and_can_be_left(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: current(app).links)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        assert app.screen.query_one("#directory", Input).disabled
        await pilot.click("#anew")
        assert not app.screen.query_one("#directory", Input).disabled
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(machine.chains) == 2)
        await until(pilot, lambda: current(app).links[0].kind is LinkKind.DUMP)
        assert [link.number for link in current(app).links] == [1]


async def test_a_directory_with_images_is_refused_before_anything_is_done(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    (taken / "1").mkdir(parents=True)
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        app.screen.query_one("#directory", Input).value = str(taken)
        make = app.screen.query_one("#make", Button)
        await until(pilot, lambda: make.disabled)
        await until(pilot, lambda: "images" in str(app.screen.query_one("#space", Static).content))
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, DumpScreen)


async def test_panels_are_toggled_and_remembered(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, settings=Settings(show_log=False))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        screen = app.screen
        assert not screen.query_one("#log").display
        await pilot.press("1", "3")
        assert not screen.query_one("#upper").display
        await pilot.press("4")
        assert screen.query_one("#upper").display
        remembered = app.remembered()
        assert (remembered.show_chart, remembered.show_chain, remembered.show_log) == (False, False, True)


async def test_events_of_the_tree_go_to_the_log(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        machine.opened[POSTGRES].events.append(Event(EventKind.JOINED, 41, "worker joined"))
        await until(pilot, lambda: any(line.text == "worker joined" for line in current(app).log))


async def test_a_click_on_the_strip_brings_another_target_into_view(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, TRAINING)
    async with run(app, (80, 24)) as pilot:
        await until(pilot, lambda: all(target.live.sample for target in app.desk.watched.targets))
        assert current(app).pid == POSTGRES
        await pilot.click(TargetStrip, offset=(25, 0))
        await until(pilot, lambda: current(app).pid == TRAINING)


async def test_a_filter_is_applied_as_it_is_typed_and_escape_clears_it(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        table = app.screen.query_one(VmaTable)
        await until(pilot, lambda: table.row_count)
        await pilot.press("slash", *"heap")
        await until(pilot, lambda: table.shown_count == 1)
        await pilot.press("enter")
        assert app.screen.focused is table
        await pilot.press("escape")
        await until(pilot, lambda: table.shown_count == table.row_count)


async def test_without_a_target_the_dashboard_says_how_to_pick_one(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert "o picks" in banner(app)
        await pilot.press("a", "d", "D", "p", "m", "plus", "e", "l", "x", "right_square_bracket")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
