"""Triggers in the dashboard on real processes: they fire when it is the case, and end in a sound chain."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.workloads import start
from tests.cli.shell import is_untouched
from tests.targets.scripted import ScriptedTarget
from tests.tui.driver import Dash, Dashboard
from tui.screens.dump.screen import DumpScreen
from tui.screens.when import WhenScreen

BURSTS = {"cold_pages": 500, "hot_pages": 4000, "pages_per_s": 20_000, "burst_ms": 1500, "quiet_ms": 2500}


@pytest.fixture(autouse=True)
def _no_criu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")


async def arm(dash: Dash, kind: str, value: str, *, limit: str = "", gives_up: bool = False) -> None:
    """Set a trigger as a user would."""
    await dash.opens(WhenScreen, "w")
    dash.choose(f"#kind-{kind}")
    dash.fill(f"#{kind}", value)
    dash.fill("#deadline", limit)
    dash.choose("#then-GIVE_UP", gives_up)
    await dash.opens(DumpScreen, "ctrl+s")
    await dash.go_on()
    await dash.until(lambda: dash.facts.wait is not None or dash.facts.links)


def is_over(dash: Dash) -> bool:
    return dash.facts.wait is None and not dash.facts.is_busy


def chain_of(dash: Dash) -> Path:
    assert dash.facts.chain is not None
    return dash.facts.chain.directory


@pytest.mark.parametrize("interval_s", [0.2, 60.0])
async def test_it_dumps_once_the_stop_is_short_enough_however_seldom_ticks_are_shown(
    target: ScriptedTarget, dashboard: Dashboard, interval_s: float
) -> None:
    async with dashboard(target.pid, interval_s=interval_s, real=True) as dash:
        await arm(dash, "stop", "1h")
        await dash.until(lambda: dash.facts.links)
        await dash.until(lambda: is_over(dash))
        directory = chain_of(dash)
        probes = [line.text for line in dash.facts.log.lines if "in a file without a name" in line.text]
    assert len(probes) == 1, "a disk is probed once, and that is said"
    chain = read_chain(directory)
    assert chain.links[-1].kind is LinkKind.DUMP
    assert verify(chain) == ()
    assert is_untouched(target.pid)


async def test_it_dumps_in_the_lull(dashboard: Dashboard) -> None:
    with start("bursts", **BURSTS) as workload:
        async with dashboard(workload.pid, interval_s=0.5, real=True) as dash:
            await arm(dash, "quiet", "1s")
            await dash.until(lambda: dash.facts.links)
            assert "dump, quiet for " in dash.log


async def test_it_pre_dumps_so_often_and_ends_with_a_dump(dashboard: Dashboard) -> None:
    with start("steady", cold_pages=3000, hot_pages=300, pages_per_s=3000) as workload:
        async with dashboard(workload.pid, interval_s=0.5, real=True) as dash:
            await arm(dash, "every", "500ms", limit="20s")
            await dash.until(lambda: dash.facts.links and is_over(dash))
            directory = chain_of(dash)
    chain = read_chain(directory)
    kinds = [link.kind for link in chain.links]
    assert kinds == [*[LinkKind.PRE_DUMP] * (len(kinds) - 1), LinkKind.DUMP]
    assert len(kinds) > 1
    assert verify(chain) == ()


async def test_at_the_deadline_it_gives_up_and_leaves_nothing(
    target: ScriptedTarget, dashboard: Dashboard, tmp_path: Path
) -> None:
    async with dashboard(target.pid, real=True) as dash:
        await arm(dash, "quiet", "1h", limit="1s", gives_up=True)
        await dash.sees("the deadline has come, and no dump is made")
        assert is_over(dash)
    assert not list((tmp_path / "state").rglob("*.img"))


async def test_a_target_that_is_killed_meanwhile_cancels_it(
    target: ScriptedTarget, dashboard: Dashboard
) -> None:
    async with dashboard(target.pid, real=True) as dash:
        await arm(dash, "quiet", "1h")
        os.kill(target.pid, signal.SIGKILL)
        await dash.sees("the target has exited, and nothing was dumped")
        assert is_over(dash)


async def test_a_target_that_starts_another_program_is_waited_for_all_the_same(
    target: ScriptedTarget, dashboard: Dashboard
) -> None:
    async with dashboard(target.pid, real=True) as dash:
        await arm(dash, "quiet", "1h", limit="4s")
        target.exec_sleep()
        await dash.until(lambda: "another program" in dash.log)
        assert dash.waits()
        await dash.until(lambda: dash.facts.links)
        directory = chain_of(dash)
    assert verify(read_chain(directory)) == ()
