"""Engines in the dashboard: what is offered, what is refused with its reason, and whose epoch it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from engine.checkpoint.earlier import EarlierChain
from engine.checkpoint.link import Engine
from engine.errors import LinkFailed
from engine.preflight.finding import Finding, Part, Place, Severity
from engine.tracking.sample import Event, EventKind, RateMode, TrackerKind
from tests.tui.machine import CRIU, MEMORY, Launch, ScriptedMachine, Until, current, run, toasts
from tui.app import DirtytopApp
from tui.screens.choice import Choice, Tick
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump import DumpScreen
from tui.screens.findings import Findings
from tui.screens.links import LinksScreen
from tui.screens.maker_log import MakerLogScreen
from tui.screens.watch import WatchScreen
from tui.settings import Settings
from widgets.chain_view import ChainView
from widgets.target_header import TargetHeader
from widgets.text_lines import TextLines

POSTGRES = 40


async def dialog(pilot: Pilot[Any], app: DirtytopApp, until: Until, key: str) -> None:
    await until(pilot, lambda: current(app).live.sample)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, DumpScreen))
    await until(pilot, lambda: current(app).engines)


async def begin_chain_of_criu(pilot: Pilot[Any], app: DirtytopApp, until: Until) -> None:
    await dialog(pilot, app, until, "d")
    app.screen.query_one("#engine-criu", Choice).value = True
    await pilot.press("ctrl+s")
    await until(pilot, lambda: current(app).links and current(app).is_lent)


def dialog_text(app: DirtytopApp) -> str:
    statics = "\n".join(str(static.content) for static in app.screen.query(Static))
    return statics + "\n".join(str(choice.label) for choice in app.screen.query(Choice))


def says(app: DirtytopApp, text: str) -> bool:
    return text in dialog_text(app)


def shown(widget: Any) -> str:
    return "\n".join(widget.render_line(y).text for y in range(widget.content_size.height))


async def test_each_engine_says_what_it_can_and_the_chosen_one_makes_the_link(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        assert "memory and registers, not restorable" in dialog_text(app)
        assert "all of the target, restorable" in dialog_text(app)
        app.screen.query_one("#engine-criu", Choice).value = True
        await pilot.pause()
        assert "stops the target for the whole copy" in dialog_text(app)
        app.screen.query_one("#tcp_established", Tick).value = True
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).links)
        order = machine.chains[0].order
        assert order.engine is Engine.CRIU
        assert order.options is not None
        assert order.options.tcp_established
        assert not order.options.shell_job
        assert app.remembered().engine == "criu"


async def test_where_nobody_has_chosen_the_engine_that_saves_most_is(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    spliced = replace(CRIU, engine=Engine.SPLICED)
    machine.reports = (MEMORY, CRIU, spliced)
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        await until(pilot, lambda: app.screen.query_one("#engine-spliced", Choice).value)
        await pilot.press("escape")
        machine.reports = (MEMORY, CRIU, replace(spliced, needed_options=("shell-job",)))
        current(app).engines = ()
        await dialog(pilot, app, until, "D")
        assert app.screen.query_one("#engine-memory", Choice).value


async def test_what_was_chosen_last_time_is_chosen_again(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, CRIU, replace(CRIU, engine=Engine.SPLICED))
    app = launch(POSTGRES, settings=Settings(engine="memory"))
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        await until(pilot, lambda: "all of the target" in dialog_text(app))
        assert app.screen.query_one("#engine-memory", Choice).value


async def test_an_engine_that_cannot_is_disabled_with_its_reason(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, replace(CRIU, why_no_pre_dump="this kernel has no [soft-dirty] bits"))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "d")
        await until(pilot, lambda: app.screen.query_one("#engine-criu", Choice).disabled)
        assert "this kernel has no [soft-dirty] bits" in dialog_text(app)
        await pilot.press("escape")
        await dialog(pilot, app, until, "D")
        assert not app.screen.query_one("#engine-criu", Choice).disabled


async def test_what_keeps_two_engines_from_it_is_said_once(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    why = "criu 3.17.1 does not work on this kernel"
    broken = replace(CRIU, why_no_pre_dump=why, why_no_dump=why)
    machine.reports = (MEMORY, broken, replace(broken, engine=Engine.SPLICED))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "d")
        await until(pilot, lambda: f"✗ criu, spliced: {why}" in dialog_text(app))
        assert dialog_text(app).count(why) == 1


async def test_a_remembered_engine_that_cannot_gives_way_to_one_that_can(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, replace(CRIU, why_no_pre_dump="no", why_no_dump="no"))
    app = launch(POSTGRES)
    app.desk.remember(engine="criu")
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        await until(pilot, lambda: app.screen.query_one("#engine-memory", Choice).value)
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)


async def test_a_job_of_a_shell_is_dumped_by_criu_only_once_shell_job_is_ticked(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, replace(CRIU, needed_options=("shell-job",)))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        app.screen.query_one("#engine-criu", Choice).value = True
        await until(pilot, lambda: app.screen.query_one("#make", Button).disabled)
        assert "tick shell-job" in dialog_text(app)
        await pilot.press("ctrl+s")
        assert machine.chains == []
        app.screen.query_one("#shell_job", Tick).value = True
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).links)
        assert machine.chains[0].order.options is not None
        assert machine.chains[0].order.options.shell_job


async def test_whatever_option_it_takes_is_asked_for_by_its_name(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, replace(CRIU, needed_options=("tcp-established", "file-locks")))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        app.screen.query_one("#engine-criu", Choice).value = True
        for option in ("tcp-established", "file-locks"):
            await until(pilot, partial(says, app, f"tick {option}"))
            assert app.screen.query_one("#make", Button).disabled
            app.screen.query_one(f"#{option.replace('-', '_')}", Tick).value = True
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)


def seen(severity: Severity, why: str, option: str = "") -> Finding:
    place = Place(POSTGRES, "postgres", "descriptor 3", "a [red]name[/red]")
    return Finding(why, severity, Part.CRIU, "thing", why, "", (place,), option)


async def test_what_pre_flight_found_of_the_chosen_engine_is_listed_worst_first_and_literally(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    findings = (seen(Severity.OPTION, "lock", "file-locks"), seen(Severity.LOST, "half a pipe"))
    machine.reports = (MEMORY, replace(CRIU, needed_options=("file-locks",), findings=findings))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        assert not app.screen.query_one(Findings).display
        app.screen.query_one("#engine-criu", Choice).value = True
        await until(pilot, lambda: app.screen.query_one(Findings).display)
        text = str(app.screen.query_one(Findings).query_one(Static).content)
        needs, lost = text.splitlines()
        assert needs.startswith("! needs an option: thing: descriptor 3 (a [red]name[/red]) of process 40")
        assert lost.startswith("· is not saved: ")
        app.screen.query_one("#engine-memory", Choice).value = True
        await until(pilot, lambda: not app.screen.query_one(Findings).display)


async def test_a_chain_that_is_gone_on_with_tells_what_its_dump_would_meet(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.reports = (MEMORY, replace(CRIU, findings=(seen(Severity.LOST, "half a pipe"),)))
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await begin_chain_of_criu(pilot, app, until)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await until(pilot, lambda: app.screen.query_one(Findings).display)
        assert "half a pipe" in dialog_text(app)


async def test_the_question_before_a_kill_says_whether_the_dump_can_be_restored(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        for engine, says in (("memory", "cannot be restored"), ("criu", "brings it back")):
            await dialog(pilot, app, until, "D")
            app.screen.query_one(f"#engine-{engine}", Choice).value = True
            app.screen.query_one("#after-kill", Choice).value = True
            await pilot.pause()
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            assert says in dialog_text(app)
            await pilot.press("escape", "escape")
            await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert machine.chains == []


async def test_while_a_chain_of_criu_is_open_the_header_says_that_it_only_reads_and_why(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await begin_chain_of_criu(pilot, app, until)
        header = shown(app.screen.query_one(TargetHeader))
        assert "soft-dirty, only reading" in header
        assert "belong to CRIU's chain in" in header
        await pilot.press("m")
        await until(pilot, lambda: "belong to CRIU's chain" in toasts(app))
        assert machine.opened[POSTGRES].mode is RateMode.CUMULATIVE
        await pilot.press("D", "ctrl+s")
        await until(pilot, lambda: not current(app).is_lent)
        assert "only reading" not in shown(app.screen.query_one(TargetHeader))


async def test_arming_asks_before_it_breaks_a_chain_of_criu(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await begin_chain_of_criu(pilot, app, until)
        calls = machine.opened[POSTGRES].calls
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "full one" in dialog_text(app)
        await pilot.press("enter")  # leaves it
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert calls == ["arm"]
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.click("#confirm")
        await until(pilot, lambda: calls == ["arm", "arm anyway"])


async def test_a_foreign_clear_is_told_and_stays_in_view_until_the_next_full_link(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    app = launch(POSTGRES, directory=tmp_path / "chain")
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 1)
        machine.opened[POSTGRES].events.append(Event(EventKind.FOREIGN_CLEAR, POSTGRES, "somebody cleared"))
        await until(pilot, lambda: current(app).broken)
        mark = "broken by a foreign clear at 12:34:56: the next link will be full"
        await pilot.pause()
        assert mark in shown(app.screen.query_one(TargetHeader))
        assert mark.split(":")[0] in " ".join(shown(app.screen.query_one(ChainView)).split())
        assert "somebody cleared" in toasts(app)
        await pilot.press("d")  # one with a parent does not mend it
        await until(pilot, lambda: len(current(app).links) == 2)
        assert current(app).broken
        machine.chains[0].why_full = "cleared"
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 3)
        assert not current(app).broken
        assert mark not in shown(app.screen.query_one(TargetHeader))


async def test_a_failed_link_of_criu_has_its_log_a_key_away(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    log = tmp_path / "2.log"
    harmless = b"(00.0) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n"
    log.write_bytes(
        harmless + b"(00.1) Warn  (criu/x.c:1): w\n" * 60 + b"(00.2) Error (criu/tty.c:9): [no] \x1btty\n"
    )
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await begin_chain_of_criu(pilot, app, until)
        machine.link_error = LinkFailed("criu could not pre-dump process 40: [no] tty")
        machine.log = log
        await pilot.press("d")
        await until(pilot, lambda: "could not pre-dump" in toasts(app))
        assert "begun and not completed: the next link will be full" in current(app).broken
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, MakerLogScreen))
        await until(pilot, lambda: "[no] ␛tty" in shown(app.screen.query_one(TextLines)))
        await pilot.press("escape")
        machine.link_error = None
        await pilot.press("d")
        await until(pilot, lambda: len(current(app).links) == 2)
        assert not current(app).broken


async def test_a_first_link_that_fails_gives_the_epoch_back(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.link_error = LinkFailed("criu could not")
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "d")
        app.screen.query_one("#engine-criu", Choice).value = True
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "could not" in toasts(app))
        assert machine.chains[0].is_closed
        assert not current(app).broken


async def test_a_new_chain_closes_the_one_it_takes_the_place_of(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await begin_chain_of_criu(pilot, app, until)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        app.screen.query_one("#anew", Choice).value = True
        await pilot.pause()
        app.screen.query_one("#engine-memory", Choice).value = True
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(machine.chains) == 2 and not current(app).is_busy)
        assert machine.chains[0].is_closed
        assert not current(app).is_lent


async def test_the_restore_command_of_a_dump_of_criu_is_shown_and_copied(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        app.screen.query_one("#engine-criu", Choice).value = True
        app.screen.query_one("#directory", Input).value = "/var/lib/a chain"
        await pilot.pause()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).links)
        command = "dirtytop restore '/var/lib/a chain/1'"
        await until(pilot, lambda: command in toasts(app))
        await pilot.press("y")
        assert app.clipboard == command
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, LinksScreen))
        assert command in dialog_text(app)


async def test_a_chain_in_the_directory_is_gone_on_with_only_if_one_says_so(
    launch: Launch, machine: ScriptedMachine, until: Until, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    (taken / "1").mkdir(parents=True)
    machine.earlier = EarlierChain(taken, Engine.MEMORY, 2, "", "the target has been armed since")
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await dialog(pilot, app, until, "D")
        app.screen.query_one("#directory", Input).value = str(taken)
        there = app.screen.query_one("#there", Tick)
        await until(pilot, lambda: there.display)
        assert (
            str(there.label) == "go on with the chain there, link 3: full (the target has been armed since)"
        )
        assert app.screen.query_one("#make", Button).disabled
        there.value = True
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        assert app.screen.query_one("#engine-criu", Choice).disabled
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).links)
        assert machine.chains[0].order.is_there
        assert machine.chains[0].order.engine is Engine.MEMORY


async def test_a_tracker_that_only_reads_names_its_figures_for_what_they_are(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        table = app.screen.query_one("#table")
        await until(pilot, lambda: "first written since armed" in str(table.border_title))
        await pilot.press("m")
        await until(pilot, lambda: "first written" not in str(table.border_title))
