"""The dashboard with real CRIU, where one works: what it offers is true, and what it makes restores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.widgets import Button, Input

from engine.checkpoint.criu.features import examine_criu
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.engines import examine_engines
from engine.checkpoint.link import Engine
from engine.images.chain import read_chain
from engine.images.layout import LinkKind
from engine.tracking.session import Session
from tests.criu.conftest import criu, orphans_are_ours
from tests.criu.outliving import Outliving
from tests.criu.test_chain import connected
from tests.known import known
from tests.tui.machine import Until, current, run, toasts
from tui.app import DirtytopApp
from tui.desk import Options
from tui.screens.choice import Choice, Tick
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump import DumpScreen
from tui.screens.maker_log import MakerLogScreen
from tui.screens.when import WhenScreen
from tui.target import Stage
from widgets.text_lines import TextLines

__all__ = ["connected", "criu", "orphans_are_ours"]


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_what_the_engines_are_said_to_do_is_what_criu_says_of_itself(criu: object, tmp_path: Path) -> None:
    found = examine_criu()
    with Outliving.judging(tmp_path) as judge, Session(judge.pid) as session:
        memory, by_criu, *_ = examine_engines(session)
    assert (memory.engine, by_criu.engine) == (Engine.MEMORY, Engine.CRIU)
    assert not memory.why_no_pre_dump
    assert not memory.why_no_dump
    assert by_criu.version == found.version_text
    assert not by_criu.why_no_dump
    assert bool(by_criu.why_no_pre_dump) is not found.has_memory_tracking
    assert not by_criu.needed_options  # it leads its session


def test_an_engine_that_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")
    with Outliving.judging(tmp_path) as judge, Session(judge.pid) as session:
        _, by_criu, *_ = examine_engines(session)
    for kind in LinkKind:
        assert "/nowhere/criu" in by_criu.why_not(kind)


@pytest.mark.usefixtures("orphans_are_ours")
async def test_a_target_is_dumped_by_criu_killed_and_restored_with_every_page_right(
    criu: object, until: Until, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path) as judge:
        app = DirtytopApp(Options((judge.pid,), arm=True, interval_s=0.2))
        async with run(app) as pilot:
            await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
            await pilot.press("D")
            await until(pilot, lambda: isinstance(app.screen, DumpScreen))
            await until(pilot, lambda: current(app).engines)
            app.screen.query_one("#engine-criu", Choice).value = True
            app.screen.query_one("#after-kill", Choice).value = True
            await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.click("#confirm")
            await until(pilot, lambda: current(app).links or "failed" in toasts(app))
            assert current(app).links, toasts(app)
            await until(pilot, lambda: current(app).stage is Stage.GONE)
            result = current(app).links[0]
            assert result.restorable
            assert known(result.stopped_us) > 0
            await pilot.press("y")
            assert app.clipboard == f"dirtytop restore {result.path}"
            await pilot.press("q")
        assert app.desk.watched.join()
        assert read_chain(result.path).links[-1].kind is LinkKind.DUMP
        judge.bury()
        restored = restore(result.path)
        assert restored.pid == judge.pid
        rounds, wrong = judge.judge()
        assert rounds > 0
        assert wrong == 0


async def test_why_criu_failed_is_told_and_its_log_is_a_key_away(
    criu: object,
    until: Until,
    connected: tuple[Outliving, CriuOptions],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, _ = connected
    # As if pre-flight knew nothing of such connections, and so let CRIU find out.
    monkeypatch.setattr("engine.checkpoint.dumpable.examine", lambda pid, dumper: ())
    app = DirtytopApp(Options((owner.pid,), arm=True, interval_s=0.2))
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DumpScreen))
        await until(pilot, lambda: current(app).engines)
        app.screen.query_one("#engine-criu", Choice).value = True
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "failed" in toasts(app))
        assert "onnected TCP" in toasts(app)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, MakerLogScreen))
        lines = app.screen.query_one(TextLines)
        await until(pilot, lambda: "TCP" in "".join(lines.render_line(y).text for y in range(20)))
        await pilot.press("escape", "q")
    assert app.desk.watched.join()
    os.kill(owner.pid, 0)  # it runs on


async def test_criu_is_asked_for_nothing_of_a_job_of_a_shell_until_that_is_allowed(
    criu: object, until: Until, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as judge:
        app = DirtytopApp(Options((judge.pid,), interval_s=0.2))
        async with run(app) as pilot:
            await until(pilot, lambda: current(app).live.sample)
            await pilot.press("D")
            await until(pilot, lambda: isinstance(app.screen, DumpScreen))
            await until(pilot, lambda: current(app).engines)
            app.screen.query_one("#engine-criu", Choice).value = True
            await until(pilot, lambda: app.screen.query_one("#make", Button).disabled)
            app.screen.query_one("#shell_job", Tick).value = True
            await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: current(app).links or "failed" in toasts(app))
            assert current(app).links, toasts(app)
            await pilot.press("q")
        assert app.desk.watched.join()


@pytest.mark.usefixtures("orphans_are_ours")
async def test_a_trigger_that_pre_dumps_dumps_and_kills_leaves_a_chain_that_restores(
    criu: object, until: Until, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path) as judge:
        app = DirtytopApp(Options((judge.pid,), arm=True, interval_s=0.2))
        async with run(app) as pilot:
            await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
            await pilot.press("w")
            await until(pilot, lambda: isinstance(app.screen, WhenScreen))
            app.screen.query_one("#kind-every", Choice).value = True
            app.screen.query_one("#every", Input).value = "500ms"
            app.screen.query_one("#deadline", Input).value = "20s"
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.screen, DumpScreen))
            await until(pilot, lambda: current(app).engines)
            app.screen.query_one("#engine-spliced", Choice).value = True
            app.screen.query_one("#after-kill", Choice).value = True
            await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.click("#confirm")
            await until(pilot, lambda: current(app).stage is Stage.GONE or "cancelled" in toasts(app).lower())
            await until(pilot, lambda: current(app).wait is None and not current(app).is_busy)
            kinds = [link.kind for link in current(app).links]
            assert kinds == [*[LinkKind.PRE_DUMP] * (len(kinds) - 1), LinkKind.DUMP], toasts(app)
            assert len(kinds) > 1
            result = current(app).links[-1]
            await pilot.press("q")
        assert app.desk.watched.join()
        judge.bury()
        assert restore(result.path).pid == judge.pid
        rounds, wrong = judge.judge()
        assert rounds > 0
        assert wrong == 0
