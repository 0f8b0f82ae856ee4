"""`dirtytop demo`: without a terminal in full, on one up to the dashboard."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tui.app
from engine.kernel.process import read_stat
from engine.workloads import SCENARIOS
from tests.cli.shell import Shell, ended, line_of
from tui.cli import main
from tui.commands import demo


def test_without_a_terminal_it_ticks_and_checkpoints_and_verifies(shell: Shell) -> None:
    lines = shell.succeeds("demo", "sparse").splitlines()
    assert lines[0] == f"sparse: {SCENARIOS['sparse'].description}"
    assert len([line for line in lines if re.match(r" *\d+\.\d s ", line)]) == 10
    made = [line.split(":")[0] for line in lines if re.match(r"(pre-dump|dump) \d:", line)]
    assert made == ["pre-dump 1", "pre-dump 2", "dump 3"]
    assert "verified: 3 links, and nothing wrong with them" in lines


def test_it_leaves_neither_a_process_nor_a_directory_behind(shell: Shell) -> None:
    output = shell.succeeds("demo", "sequential")
    (pid,) = re.findall(r"^watching (\d+) by", output, re.MULTILINE)
    (directory,) = re.findall(r"^removing (\S+), where the chain was", output, re.MULTILINE)
    assert not os.path.exists(f"/proc/{pid}")
    assert not Path(directory).exists()


def test_the_chain_is_kept_where_one_says(shell: Shell, tmp_path: Path) -> None:
    output = shell.succeeds("demo", "sparse", "--dir", tmp_path / "kept")
    assert output.endswith(f"the checkpoints are in {tmp_path / 'kept'}\n")
    assert shell.succeeds("verify", tmp_path / "kept") == "sound: 3 links\n"


@pytest.mark.parametrize(("scenario", "error"), [("sparse", "dirtytop: "), ("tour", "dirtytop: interrupted")])
def test_ctrl_c_ends_the_workload_too(shell: Shell, scenario: str, error: str) -> None:
    running = shell.start("demo", scenario)
    line_of(running)
    pid = int(line_of(running).split()[1])
    code, _, complaints = ended(running, signal.SIGINT)
    assert code == 1
    assert complaints.startswith(error)
    assert "Traceback" not in complaints
    assert not os.path.exists(f"/proc/{pid}")


def test_the_list_gives_each_scenario_with_its_true_rate(shell: Shell) -> None:
    lines = shell.succeeds("demo", "--list").splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)
    assert all("pages/s" in line and "MiB/s" in line for line in lines)


@pytest.mark.parametrize(("scenario", "command"), [("bursts", "demo-bursts"), ("tour", "tour-steady")])
def test_on_a_terminal_the_dashboard_opens_on_it_armed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scenario: str, command: str
) -> None:
    opened: dict[str, Any] = {}

    def run(pids: Sequence[int], **options: Any) -> int:
        opened.update(options, commands=[read_stat(pid).command for pid in pids])
        options["directory"].mkdir()
        return 0

    monkeypatch.setattr(demo, "has_terminal", lambda: True)
    monkeypatch.setattr(tui.app, "run", run)
    assert main(["demo", scenario]) == 0
    assert opened["commands"] == [command]
    assert opened["arm"] is True
    assert str(opened["directory"].parent) in capsys.readouterr().out
    assert not opened["directory"].parent.exists()
