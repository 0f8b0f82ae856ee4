"""Engines in the dashboard: what is offered, what is refused with its reason, and whose epoch it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.widgets import Button, Static

from engine.checkpoint.claim import CLEARED
from engine.checkpoint.earlier import EarlierChain
from engine.checkpoint.link import Engine
from engine.errors import LinkFailed
from engine.preflight.finding import Finding, Part, Place, Severity
from engine.tracking.sample import Event, EventKind, RateMode, TrackerKind
from tests.tui.driver import CHAIN, POSTGRES, Dash, Dashboard, drawn
from tests.tui.machine import CRIU, MEMORY, ScriptedMachine
from tui.screens.choice import Choice, Tick
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump.findings import Findings
from tui.screens.dump.screen import DumpScreen
from tui.screens.links import LinksScreen
from tui.screens.maker_log import MakerLogScreen
from tui.screens.watch import WatchScreen
from tui.settings import Settings
from widgets.chain_view import ChainView
from widgets.text_lines import TextLines


async def begin_chain_of_criu(dash: Dash) -> None:
    await dash.dump_dialog("d", engine="criu")
    await dash.link("ctrl+s")
    await dash.until(lambda: dash.facts.is_lent)


async def test_each_engine_says_what_it_can_and_the_chosen_one_makes_the_link(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.dump_dialog()
        assert "memory and registers, not restorable" in dash.text
        assert "all of the target, restorable" in dash.text
        dash.choose("#engine-criu")
        await dash.pause()
        assert "stops the target for the whole copy" in dash.text
        dash.one("#tcp_established", Tick).value = True
        await dash.link("ctrl+s")
        order = dash.machine.chains[0].order
        assert order.engine is Engine.CRIU
        assert order.options is not None
        assert order.options.tcp_established
        assert not order.options.shell_job
        assert dash.app.remembered().engine == "criu"


async def test_where_nobody_has_chosen_the_engine_that_saves_most_is(dashboard: Dashboard) -> None:
    spliced = replace(CRIU, engine=Engine.SPLICED)
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, CRIU, spliced)
        await dash.dump_dialog()
        await dash.until(lambda: dash.one("#engine-spliced", Choice).value)
        await dash.press("escape")
        dash.machine.reports = (MEMORY, CRIU, replace(spliced, needed_options=("shell-job",)))
        dash.target.examined(())
        await dash.dump_dialog()
        assert dash.one("#engine-memory", Choice).value


async def test_what_was_chosen_last_time_is_chosen_again(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(engine="memory")) as dash:
        dash.machine.reports = (MEMORY, CRIU, replace(CRIU, engine=Engine.SPLICED))
        await dash.dump_dialog()
        await dash.sees("all of the target")
        assert dash.one("#engine-memory", Choice).value


async def test_an_engine_that_cannot_is_disabled_with_its_reason(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, why_no_pre_dump="this kernel has no [soft-dirty] bits"))
        await dash.dump_dialog("d")
        await dash.until(lambda: dash.one("#engine-criu", Choice).disabled)
        assert "this kernel has no [soft-dirty] bits" in dash.text
        await dash.press("escape")
        await dash.dump_dialog()
        assert not dash.one("#engine-criu", Choice).disabled


async def test_what_keeps_two_engines_from_it_is_said_once(dashboard: Dashboard) -> None:
    why = "criu 3.17.1 does not work on this kernel"
    broken = replace(CRIU, why_no_pre_dump=why, why_no_dump=why)
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, broken, replace(broken, engine=Engine.SPLICED))
        await dash.dump_dialog("d")
        await dash.sees(f"✗ criu, spliced: {why}")
        assert dash.text.count(why) == 1


async def test_a_remembered_engine_that_cannot_gives_way_to_one_that_can(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, settings=Settings(engine="criu")) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, why_no_pre_dump="no", why_no_dump="no"))
        await dash.dump_dialog()
        await dash.until(lambda: dash.one("#engine-memory", Choice).value)
        await dash.possible()


async def test_a_job_of_a_shell_is_dumped_by_criu_only_once_shell_job_is_ticked(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, needed_options=("shell-job",)))
        await dash.dump_dialog(engine="criu")
        await dash.until(lambda: dash.one("#make", Button).disabled)
        assert "tick shell-job" in dash.text
        await dash.press("ctrl+s")
        assert dash.machine.chains == []
        dash.one("#shell_job", Tick).value = True
        await dash.go_on()
        await dash.links(1)
        assert dash.machine.chains[0].order.options is not None
        assert dash.machine.chains[0].order.options.shell_job


async def test_whatever_option_it_takes_is_asked_for_by_its_name(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, needed_options=("tcp-established", "file-locks")))
        await dash.dump_dialog(engine="criu")
        for option in ("tcp-established", "file-locks"):
            await dash.sees(f"tick {option}")
            assert dash.one("#make", Button).disabled
            dash.one(f"#{option.replace('-', '_')}", Tick).value = True
        await dash.possible()


def seen(severity: Severity, why: str, option: str = "") -> Finding:
    place = Place(POSTGRES, "postgres", "descriptor 3", "a [red]name[/red]")
    return Finding(why, severity, Part.CRIU, "thing", why, "", (place,), option)


async def test_what_pre_flight_found_of_the_chosen_engine_is_listed_worst_first_and_literally(
    dashboard: Dashboard,
) -> None:
    findings = (seen(Severity.OPTION, "lock", "file-locks"), seen(Severity.LOST, "half a pipe"))
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, needed_options=("file-locks",), findings=findings))
        await dash.dump_dialog()
        assert not dash.one(Findings).display
        dash.choose("#engine-criu")
        await dash.until(lambda: dash.one(Findings).display)
        text = str(dash.one(Findings).query_one(Static).content)
        needs, lost = text.splitlines()
        assert needs.startswith("! needs an option: thing: descriptor 3 (a [red]name[/red]) of process 40")
        assert lost.startswith("· is not saved: ")
        dash.choose("#engine-memory")
        await dash.until(lambda: not dash.one(Findings).display)


async def test_a_chain_that_is_gone_on_with_tells_what_its_dump_would_meet(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.reports = (MEMORY, replace(CRIU, findings=(seen(Severity.LOST, "half a pipe"),)))
        await begin_chain_of_criu(dash)
        await dash.opens(DumpScreen, "D")
        await dash.until(lambda: dash.one(Findings).display)
        assert "half a pipe" in dash.text


async def test_the_question_before_a_kill_says_whether_the_dump_can_be_restored(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        for engine, says in (("memory", "cannot be restored"), ("criu", "brings it back")):
            await dash.dump_dialog()
            dash.choose(f"#engine-{engine}")
            dash.choose("#after-kill")
            await dash.pause()
            await dash.opens(ConfirmScreen, "ctrl+s")
            await dash.sees(says)
            await dash.opens(WatchScreen, "escape", "escape")
        assert dash.machine.chains == []


async def test_while_a_chain_of_criu_is_open_the_header_says_that_it_only_reads_and_why(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    async with dashboard(POSTGRES) as dash:
        await begin_chain_of_criu(dash)
        await dash.sees("soft-dirty, only reading", "belong to CRIU's chain in")
        await dash.press("m")
        await dash.sees("belong to CRIU's chain")
        assert machine.opened[POSTGRES].mode is RateMode.CUMULATIVE
        await dash.press("D", "ctrl+s")
        await dash.until(lambda: not dash.facts.is_lent)
        assert "only reading" not in dash.header


async def test_arming_asks_before_it_breaks_a_chain_of_criu(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    async with dashboard(POSTGRES) as dash:
        await begin_chain_of_criu(dash)
        calls = machine.opened[POSTGRES].calls
        await dash.opens(ConfirmScreen, "a")
        assert "full one" in dash.text
        await dash.opens(WatchScreen, "enter")  # leaves it
        assert calls == ["arm"]
        await dash.opens(ConfirmScreen, "a")
        await dash.click("#confirm")
        await dash.until(lambda: calls == ["arm", "arm anyway"])


async def test_a_foreign_clear_is_told_and_stays_in_view_until_the_next_full_link(
    dashboard: Dashboard,
) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        dash.machine.clear(POSTGRES)
        mark = f"{CLEARED}: the next link will be full"
        await dash.until(lambda: mark in dash.header)
        assert mark in " ".join(drawn(dash.one(ChainView)).split())
        assert "somebody cleared" in dash.toasts
        await dash.link()
        assert not dash.facts.links[-1].pages_in_parent
        await dash.until(lambda: mark not in dash.header)


async def test_whether_the_next_link_is_a_full_one_is_what_the_chain_says_and_not_what_is_seen(
    dashboard: Dashboard,
) -> None:
    async with dashboard(POSTGRES, directory=CHAIN) as dash:
        await dash.link()
        dash.tracking.events.append(Event(EventKind.FOREIGN_CLEAR, POSTGRES, "somebody cleared"))
        await dash.sees("somebody cleared")
        assert not dash.facts.why_full
        dash.machine.chains[0].why_full = "its disk was exchanged"
        await dash.until(lambda: "exchanged: the next" in dash.header)


async def test_a_failed_link_of_criu_has_its_log_a_key_away(dashboard: Dashboard, tmp_path: Path) -> None:
    log = tmp_path / "2.log"
    harmless = b"(00.0) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n"
    log.write_bytes(
        harmless + b"(00.1) Warn  (criu/x.c:1): w\n" * 60 + b"(00.2) Error (criu/tty.c:9): [no] \x1btty\n"
    )
    async with dashboard(POSTGRES) as dash:
        await begin_chain_of_criu(dash)
        dash.machine.link_error = LinkFailed("criu could not pre-dump process 40: [no] tty")
        dash.machine.log = log
        await dash.press("d")
        await dash.sees("could not pre-dump")
        assert "begun and not completed: the next link will be full" in dash.facts.full_text
        await dash.opens(MakerLogScreen, "L")
        await dash.until(lambda: "[no] ␛tty" in drawn(dash.one(TextLines)))
        await dash.press("escape")
        dash.machine.link_error = None
        await dash.link()
        assert not dash.facts.why_full


async def test_a_first_link_that_fails_gives_the_epoch_back(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        dash.machine.link_error = LinkFailed("criu could not")
        await dash.dump_dialog("d", engine="criu")
        await dash.press("ctrl+s")
        await dash.sees("could not")
        assert dash.machine.chains[0].is_closed
        assert not dash.facts.why_full


async def test_a_new_chain_closes_the_one_it_takes_the_place_of(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await begin_chain_of_criu(dash)
        await dash.opens(DumpScreen, "D")
        dash.choose("#anew")
        await dash.pause()
        dash.choose("#engine-memory")
        await dash.go_on()
        await dash.until(lambda: len(dash.machine.chains) == 2 and not dash.facts.is_busy)
        assert dash.machine.chains[0].is_closed
        assert not dash.facts.is_lent


async def test_the_restore_command_of_a_dump_of_criu_is_shown_and_copied(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.dump_dialog(engine="criu")
        dash.fill("#directory", "/var/lib/a chain")
        await dash.pause()
        await dash.link("ctrl+s")
        command = "dirtytop restore '/var/lib/a chain/1'"
        await dash.sees(command)
        await dash.press("y")
        assert dash.app.clipboard == command
        await dash.opens(LinksScreen, "l")
        assert command in dash.text


async def test_a_chain_in_the_directory_is_gone_on_with_only_if_one_says_so(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    (taken / "1").mkdir(parents=True)
    async with dashboard(POSTGRES) as dash:
        dash.machine.earlier = EarlierChain(taken, Engine.MEMORY, 2, "", "the target has been armed since")
        await dash.dump_dialog()
        dash.fill("#directory", str(taken))
        there = dash.one("#there", Tick)
        await dash.until(lambda: there.display)
        assert (
            str(there.label) == "go on with the chain there, link 3: full (the target has been armed since)"
        )
        assert dash.one("#make", Button).disabled
        there.value = True
        await dash.possible()
        assert dash.one("#engine-criu", Choice).disabled
        await dash.link("ctrl+s")
        assert dash.machine.chains[0].order.is_there
        assert dash.machine.chains[0].order.engine is Engine.MEMORY


async def test_a_tracker_that_only_reads_names_its_figures_for_what_they_are(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    async with dashboard(POSTGRES) as dash:
        table = dash.one("#table")
        await dash.until(lambda: "first written since armed" in str(table.border_title))
        await dash.press("m")
        await dash.until(lambda: "first written" not in str(table.border_title))
