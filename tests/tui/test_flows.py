"""From the picker to the dashboard and back: what the keys do, and what is said when they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Button, Input, Static

from engine.errors import LinkFailed, NotPermitted, TargetGone
from engine.images.layout import LinkKind
from engine.tracking.sample import Event, EventKind, RateMode, TrackerKind
from tests.tui.driver import CHAIN, POSTGRES, TRAINING, Dashboard
from tests.tui.machine import ScriptedMachine
from tui.endings import thread_failures_go_to
from tui.screens.dump.screen import DumpScreen
from tui.screens.pick import PickScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from tui.settings import Settings
from tui.view.facts import Stage
from widgets.chain_view import ChainView
from widgets.heat_map import HeatMap
from widgets.process_table import ProcessIdentity, ProcessTable
from widgets.target_header import TargetState
from widgets.vma_table import VmaTable


async def test_a_refused_arming_is_told_and_sampling_goes_on(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False) as dash:
        dash.tracking.refuses = NotPermitted("process 40: not permitted", hint="be root")
        await dash.press("a")
        await dash.sees("not permitted")
        seen = dash.tracking.ticks
        await dash.until(lambda: dash.tracking.ticks > seen)


async def test_a_target_that_cannot_be_opened_says_why_in_the_banner(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.open_errors[POSTGRES] = NotPermitted("process 40: not permitted [/]", hint="be root")
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: dash.facts.stage is Stage.REFUSED)
        assert dash.banner == "process 40: not permitted [/] — be root"
        await dash.press("a", "d", "D", "m", "p", "c")
        await dash.pause()
        assert dash.is_on(WatchScreen)


async def test_a_pause_freezes_the_view_while_sampling_goes_on(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.press("p")
        shown = dash.facts.look
        assert dash.view.status.state is TargetState.PAUSED
        assert "paused" in dash.banner
        await dash.until(lambda: dash.facts.live is not shown)
        assert dash.view.past.look is shown
        await dash.press("p")
        await dash.until(lambda: dash.view.past.look is dash.facts.live)
        assert dash.banner == ""


async def test_the_interval_goes_up_and_down_and_is_remembered(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, interval_s=1.0) as dash:
        await dash.press("plus")
        assert dash.facts.interval_s == 2.0
        await dash.press("minus", "minus")
        assert dash.facts.interval_s == 0.5
        assert dash.app.remembered().interval_s == 0.5


async def test_a_mode_can_be_changed_only_where_the_tracker_has_another(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    async with dashboard(POSTGRES, tracker=TrackerKind.SOFT_DIRTY) as dash:
        await dash.press("m")
        await dash.until(lambda: machine.opened[POSTGRES].mode is RateMode.REARMING)
    async with dashboard(TRAINING, tracker=TrackerKind.WRITE_PROTECT) as dash:
        await dash.press("m")
        await dash.pause()
        assert machine.opened[TRAINING].calls == ["arm"]


async def test_a_target_that_exits_leaves_its_history_and_another_can_be_picked(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: len(dash.facts.live.history) > 3)
        dash.machine.exit(POSTGRES)
        await dash.until(lambda: dash.facts.stage is Stage.GONE)
        assert "has exited" in dash.banner
        assert len(dash.facts.look.history) > 3
        assert dash.facts.look.sample is not None
        await dash.press("d", "D", "a")
        await dash.pause()
        assert dash.is_on(WatchScreen)
        await dash.opens(PickScreen, "o")
        await dash.until(lambda: dash.one(ProcessTable).row_count)
        await dash.opens(WatchScreen, "slash", *"train", "enter", "enter")
        assert dash.facts.pid == TRAINING
        assert len(dash.targets) == 2


async def test_read_only_neither_arms_nor_dumps(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=True, readonly=True) as dash:
        assert "read-only" in dash.banner
        await dash.press("a", "d", "D")
        await dash.pause()
        assert dash.is_on(WatchScreen)
        assert dash.tracking.calls == []
        assert dash.machine.chains == []


async def test_several_tagged_processes_are_watched_side_by_side(dashboard: Dashboard) -> None:
    async with dashboard() as dash:
        table = dash.one(ProcessTable)
        await dash.until(lambda: table.row_count)
        for pid in (POSTGRES, TRAINING):
            row = next(row for row in dash.machine.rows if row.pid == pid)
            assert table.move_cursor_to(ProcessIdentity(row.pid, row.start_ticks))
            await dash.press("space")
        await dash.opens(WatchScreen, "enter")
        assert sorted(target.pid for target in dash.targets) == [POSTGRES, TRAINING]
        first = dash.facts.pid
        await dash.press("right_square_bracket")
        second = dash.facts.pid
        assert {first, second} == {POSTGRES, TRAINING}
        await dash.press("left_square_bracket")
        assert dash.facts.pid == first
        await dash.press("x")
        assert dash.facts.pid == second
        await dash.until(lambda: dash.machine.opened[first].is_closed)


async def test_what_cannot_be_watched_is_refused_with_its_reason(dashboard: Dashboard) -> None:
    async with dashboard() as dash:
        await dash.until(lambda: dash.one(ProcessTable).row_count)
        await dash.press("slash", *"kthreadd", "enter", "enter")
        await dash.sees("kernel thread")
        assert dash.is_on(PickScreen)
        assert dash.machine.opened == {}


async def test_a_pid_that_was_used_again_since_it_was_picked_is_refused(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.app.desk.watch(TRAINING, start_ticks=1)
        await dash.until(lambda: dash.facts.stage is Stage.REFUSED)
        assert isinstance(dash.facts.error, TargetGone)
        assert dash.machine.opened[TRAINING].is_closed


async def test_leaving_lets_every_target_go(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING) as dash:
        await dash.until(lambda: len(dash.machine.opened) == 2)
        await dash.press("q")
    assert dash.app.desk.watched.join()
    assert all(target.is_closed for target in dash.machine.opened.values())


HOSTILE = ["[heap]", "x[/foo]", "[@click=app.quit]x[/]", "\\", "[", "␛]0;title␇", "名前" * 40]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_name_is_shown_as_it_is_everywhere(
    dashboard: Dashboard, machine: ScriptedMachine, name: str, tmp_path: Path
) -> None:
    machine.commands[POSTGRES] = name
    machine.link_error = LinkFailed(name, hint=name)
    machine.rows = tuple(row for row in machine.rows if row.pid != POSTGRES)
    async with dashboard(POSTGRES, TRAINING, directory=tmp_path) as dash:
        await dash.until(lambda: dash.facts.command == name)
        machine.opened[POSTGRES].events.append(Event(EventKind.UNTRACKABLE, POSTGRES, name))
        await dash.press("d")
        await dash.until(lambda: name in dash.toasts)
        for key in ("D", "e", "question_mark", "ctrl+p"):
            await dash.press(key)
            await dash.pause()
            await dash.press("escape")
        await dash.press("q")


async def test_a_thread_that_breaks_ends_the_program_with_its_traceback(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    async def watch() -> None:
        async with dashboard(POSTGRES) as dash:
            with thread_failures_go_to(dash.app.thread_failed):
                machine.opened[POSTGRES].breaks = ZeroDivisionError("a bug")
                await dash.until(lambda: dash.app.return_code is not None)

    with pytest.raises(ZeroDivisionError):
        await watch()


async def test_the_directory_of_the_command_line_is_used_without_a_question(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        assert dash.machine.chains[0].directory == CHAIN


async def test_the_directory_of_the_command_line_is_what_a_dump_offers_and_not_remembered(
    dashboard: Dashboard,
) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.opens(DumpScreen, "D")
        assert dash.one("#directory", Input).value == str(CHAIN)
        await dash.go_on()
        await dash.links(1)
        assert dash.machine.chains[0].directory == CHAIN
    assert dash.app.remembered().last_directory == ""


async def test_a_view_without_anything_to_draw_says_what_to_press(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False, settings=Settings(plot="heat")) as dash:
        heat = dash.one(HeatMap)
        await dash.until(lambda: "Press a to arm" in heat.empty_text)
        await dash.press("a")
        await dash.until(lambda: "Armed" in heat.empty_text)


async def test_the_chain_says_step_by_step_what_can_be_done_next(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        chain = dash.one(ChainView)
        assert "press d" in chain.empty_text
        await dash.link()
        assert "D\N{NO-BREAK SPACE}ends" in chain.next_text
        await dash.link("D", "ctrl+s")
        assert chain.next_text.startswith("ended")


async def test_a_chain_under_way_is_offered_as_parent_and_can_be_left(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        await dash.opens(DumpScreen, "D")
        assert dash.one("#directory", Input).disabled
        await dash.click("#anew")
        assert not dash.one("#directory", Input).disabled
        await dash.go_on()
        await dash.until(lambda: len(dash.machine.chains) == 2)
        await dash.until(lambda: dash.facts.links[0].kind is LinkKind.DUMP)
        assert [link.number for link in dash.facts.links] == [1]


async def test_a_directory_with_images_is_refused_before_anything_is_done(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    (taken / "1").mkdir(parents=True)
    async with dashboard(POSTGRES) as dash:
        await dash.opens(DumpScreen, "D")
        dash.fill("#directory", str(taken))
        make = dash.one("#make", Button)
        await dash.until(lambda: make.disabled)
        await dash.until(lambda: "images" in str(dash.one("#space", Static).content))
        await dash.press("ctrl+s")
        assert dash.is_on(DumpScreen)


async def test_panels_are_toggled_and_remembered(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(show_log=False)) as dash:
        screen = dash.app.screen
        assert not screen.query_one("#log").display
        await dash.press("1", "3")
        assert not screen.query_one("#upper").display
        await dash.press("4")
        assert screen.query_one("#upper").display
        remembered = dash.app.remembered()
        assert (remembered.show_chart, remembered.show_chain, remembered.show_log) == (False, False, True)


async def test_events_of_the_tree_go_to_the_log(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.tracking.events.append(Event(EventKind.JOINED, 41, "worker joined"))
        await dash.until(lambda: "worker joined" in dash.log)


async def test_a_click_on_the_strip_brings_another_target_into_view(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING, size=(80, 24)) as dash:
        assert dash.facts.pid == POSTGRES
        await dash.click(TargetStrip, offset=(25, 0))
        await dash.until(lambda: dash.facts.pid == TRAINING)


async def test_a_filter_is_applied_as_it_is_typed_and_escape_clears_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        table: VmaTable = dash.one(VmaTable)
        await dash.until(lambda: table.row_count)
        await dash.press("slash", *"heap")
        await dash.until(lambda: table.shown_count == 1)
        await dash.press("enter")
        assert table.has_focus
        await dash.press("escape")
        await dash.until(lambda: table.shown_count == table.row_count)


async def test_without_a_target_the_dashboard_says_how_to_pick_one(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(PickScreen, "x")
        await dash.opens(WatchScreen, "escape")
        assert "o picks" in dash.banner
        await dash.press("a", "d", "D", "p", "m", "plus", "e", "l", "x", "right_square_bracket")
        await dash.pause()
        assert dash.is_on(WatchScreen)
