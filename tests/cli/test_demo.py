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
    code, output, complaints = shell.run("demo", "sparse")
    lines = output.splitlines()
    assert (code, complaints) == (0, "")
    assert lines[0] == f"sparse: {SCENARIOS['sparse'].description}"
    assert len([line for line in lines if re.match(r" *\d+\.\d s ", line)]) == 10
    made = [line.split(":")[0] for line in lines if re.match(r"(pre-dump|dump) \d:", line)]
    assert made == ["pre-dump 1", "pre-dump 2", "dump 3"]
    assert "verified: 3 links, and nothing wrong with them" in lines


def test_it_leaves_neither_a_process_nor_a_directory_behind(shell: Shell) -> None:
    _, output, _ = shell.run("demo", "sequential")
    (pid,) = re.findall(r"^watching (\d+) by", output, re.MULTILINE)
    (directory,) = re.findall(r"^removing (\S+), where the chain was", output, re.MULTILINE)
    assert not os.path.exists(f"/proc/{pid}")
    assert not Path(directory).exists()


def test_the_chain_is_kept_where_one_says(shell: Shell, tmp_path: Path) -> None:
    code, output, _ = shell.run("demo", "sparse", "--dir", tmp_path / "kept")
    assert code == 0
    assert output.endswith(f"the checkpoints are in {tmp_path / 'kept'}\n")
    assert shell.run("verify", tmp_path / "kept") == (0, "sound: 3 links\n", "")


def test_ctrl_c_ends_the_workload_too(shell: Shell) -> None:
    running = shell.start("demo", "sparse")
    line_of(running)
    pid = int(line_of(running).split()[1])
    running.send_signal(signal.SIGINT)
    code, _, complaints = ended(running)
    assert code == 1
    assert "Traceback" not in complaints
    assert not os.path.exists(f"/proc/{pid}")


def test_the_list_gives_each_scenario_with_its_true_rate(shell: Shell) -> None:
    code, output, _ = shell.run("demo", "--list")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == list(SCENARIOS)
    assert all("pages/s" in line and "MiB/s" in line for line in output.splitlines())


def test_on_a_terminal_the_dashboard_opens_on_it_armed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: dict[str, Any] = {}

    def run(pids: Sequence[int], **options: Any) -> int:
        opened.update(options, commands=[read_stat(pid).command for pid in pids])
        options["directory"].mkdir()
        return 0

    monkeypatch.setattr(demo, "has_terminal", lambda: True)
    monkeypatch.setattr(tui.app, "run", run)
    assert main(["demo", "bursts"]) == 0
    assert opened["commands"] == ["demo-bursts"]
    assert opened["arm"] is True
    assert str(opened["directory"].parent) in capsys.readouterr().out
    assert not opened["directory"].parent.exists()
