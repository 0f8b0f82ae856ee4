"""The dashboard with real CRIU, where one works: what it offers is true, and what it makes restores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.widgets import Button

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
from tests.tui.driver import Dashboard
from tui.screens.choice import Tick
from tui.screens.confirm import ConfirmScreen
from tui.screens.maker_log import MakerLogScreen
from tui.screens.when import WhenScreen
from tui.view.facts import Stage
from widgets.text_lines import TextLines

__all__ = ["connected", "criu", "orphans_are_ours"]


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
    criu: object, dashboard: Dashboard, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path) as judge:
        async with dashboard(judge.pid, real=True) as dash:
            await dash.dump_dialog(engine="criu")
            dash.choose("#after-kill")
            await dash.possible()
            await dash.opens(ConfirmScreen, "ctrl+s")
            await dash.click("#confirm")
            await dash.until(lambda: dash.facts.links or "failed" in dash.toasts)
            assert dash.facts.links, dash.toasts
            await dash.until(lambda: dash.facts.stage is Stage.GONE)
            result = dash.facts.links[0]
            assert result.restorable
            assert known(result.stopped_us) > 0
            await dash.press("y")
            assert dash.app.clipboard == f"dirtytop restore {result.path}"
        assert read_chain(result.path).links[-1].kind is LinkKind.DUMP
        judge.bury()
        restored = restore(result.path)
        assert restored.pid == judge.pid
        rounds, wrong = judge.judge()
        assert rounds > 0
        assert wrong == 0


async def test_why_criu_failed_is_told_and_its_log_is_a_key_away(
    criu: object,
    dashboard: Dashboard,
    connected: tuple[Outliving, CriuOptions],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, _ = connected
    # As if pre-flight knew nothing of such connections, and so let CRIU find out.
    monkeypatch.setattr("engine.checkpoint.dumpable.examine", lambda pid, dumper: ())
    async with dashboard(owner.pid, real=True) as dash:
        await dash.dump_dialog(engine="criu")
        await dash.go_on()
        await dash.sees("failed")
        assert "onnected TCP" in dash.toasts
        await dash.opens(MakerLogScreen, "L")
        lines = dash.one(TextLines)
        await dash.until(lambda: "TCP" in "".join(lines.render_line(y).text for y in range(20)))
        await dash.press("escape")
    os.kill(owner.pid, 0)  # it runs on


async def test_criu_is_asked_for_nothing_of_a_job_of_a_shell_until_that_is_allowed(
    criu: object, dashboard: Dashboard, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as judge:
        async with dashboard(judge.pid, real=True) as dash:
            await dash.dump_dialog(engine="criu")
            await dash.until(lambda: dash.one("#make", Button).disabled)
            dash.one("#shell_job", Tick).value = True
            await dash.go_on()
            await dash.until(lambda: dash.facts.links or "failed" in dash.toasts)
            assert dash.facts.links, dash.toasts


@pytest.mark.usefixtures("orphans_are_ours")
async def test_a_trigger_that_pre_dumps_dumps_and_kills_leaves_a_chain_that_restores(
    criu: object, dashboard: Dashboard, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path) as judge:
        async with dashboard(judge.pid, real=True) as dash:
            await dash.opens(WhenScreen, "w")
            dash.choose("#kind-every")
            dash.fill("#every", "500ms")
            dash.fill("#deadline", "20s")
            await dash.dump_dialog("ctrl+s")
            dash.choose("#engine-spliced")
            dash.choose("#after-kill")
            await dash.possible()
            await dash.opens(ConfirmScreen, "ctrl+s")
            await dash.click("#confirm")
            await dash.until(lambda: dash.facts.stage is Stage.GONE or "cancelled" in dash.toasts.lower())
            await dash.until(lambda: dash.facts.wait is None and not dash.facts.is_busy)
            kinds = [link.kind for link in dash.facts.links]
            assert kinds == [*[LinkKind.PRE_DUMP] * (len(kinds) - 1), LinkKind.DUMP], dash.toasts
            assert len(kinds) > 1
            result = dash.facts.links[-1]
        judge.bury()
        assert restore(result.path).pid == judge.pid
        rounds, wrong = judge.judge()
        assert rounds > 0
        assert wrong == 0
