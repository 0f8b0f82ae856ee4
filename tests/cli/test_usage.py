"""How the command line is read, and what it says of itself."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest

import tui.app
from engine.tracking.cost_budget import NO_BUDGET, CostBudget
from engine.tracking.sample import TrackerKind
from tests.cli.shell import Shell
from tui.cli import dirtytop, main
from tui.commands import dashboard

COMMANDS = (
    "demo",
    "doctor",
    "watch",
    "who",
    "checkpoint",
    "core",
    "restore",
    "images",
    "verify",
    "flatten",
    "completion",
)
US = os.getpid()
DEFAULTS: dict[str, Any] = {
    "interval_s": None,
    "tracker": None,
    "directory": None,
    "trusts_directory": False,
    "stop_budget_s": None,
    "cost_budget": None,
    "theme": None,
    "mouse": True,
    "readonly": False,
}


@pytest.mark.parametrize(
    ("arguments", "pids", "options"),
    [
        ([], (), {}),
        ([str(US)], (US,), {}),
        ([str(US), "1"], (US, 1), {}),
        (["--interval", "0.5", str(US)], (US,), {"interval_s": 0.5}),
        ([str(US), "--tracker", "write-protect"], (US,), {"tracker": TrackerKind.WRITE_PROTECT}),
        (["--tracker", "auto", "--no-mouse"], (), {"mouse": False}),
        (["--dir", "/x/y", "1", "--readonly"], (1,), {"directory": Path("/x/y"), "readonly": True}),
        (["--trust-directory"], (), {"trusts_directory": True}),
        (["--theme", "nord"], (), {"theme": "nord"}),
        (["--stop-budget", "50ms"], (), {"stop_budget_s": 0.05}),
        (["--cost-budget", "5%"], (), {"cost_budget": CostBudget(0.05, 0.025)}),
        (["--cost-budget", "0.5"], (), {"cost_budget": CostBudget(0.005, 0.0025)}),
        (["--cost-budget", "off"], (), {"cost_budget": NO_BUDGET}),
    ],
)
def test_pids_and_options_without_a_command_are_for_the_dashboard(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], pids: tuple[int, ...], options: dict[str, Any]
) -> None:
    calls: list[tuple[tuple[int, ...], dict[str, Any]]] = []

    def run(pids: Sequence[int], **options: Any) -> int:
        calls.append((tuple(pids), options))
        return 143

    monkeypatch.setattr(dashboard, "has_terminal", lambda: True)
    monkeypatch.setattr(tui.app, "run", run)
    assert main(arguments) == 143
    assert calls == [(pids, DEFAULTS | options)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_ends_with_an_example_that_would_be_accepted(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1], comments=True)
    example = list(takewhile(lambda word: word not in ("&&", ">>"), words))
    assert example[:2] == ["dirtytop", name]
    example = [str(US) if word == "1234" else word for word in example]
    command = dirtytop.get_command(click.Context(dirtytop), name)
    assert command is not None
    assert command.make_context(name, example[2:]).params


def test_the_help_of_the_whole_names_every_command_and_the_options_of_the_dashboard(shell: Shell) -> None:
    code, output, _ = shell.run("--help")
    assert code == 0
    assert output.startswith("Usage: dirtytop [OPTIONS] [PID]...\n   or: dirtytop COMMAND")
    for name in (
        *COMMANDS,
        "--interval",
        "--tracker",
        "--dir",
        "--stop-budget",
        "--cost-budget",
        "--theme",
        "--no-mouse",
        "--readonly",
    ):
        assert f"  {name}" in output
    assert output.splitlines()[-1].startswith("    dirtytop ")


@pytest.mark.parametrize("command", ["watch", "forecast", "checkpoint"])
@pytest.mark.parametrize("given", ["0", "-1%", "1000%", "much", "nan", ""])
def test_a_cost_budget_that_makes_no_sense_is_refused(shell: Shell, command: str, given: str) -> None:
    where = ["/nowhere"] if command == "checkpoint" else []
    code, output, complaints = shell.run(command, 1, *where, "--cost-budget", given)
    assert (code, output) == (2, "")
    assert "is no share of a core: say off, or 0.01% to 100%" in complaints


def test_the_dashboards_own_help_calls_it_by_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(US), "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: dirtytop [OPTIONS] [PID]...\n")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_that_of_the_package(shell: Shell, option: str) -> None:
    assert shell.run(option) == (0, f"dirtytop {version('dirtytop')}\n", "")


def test_doctor_says_what_works(shell: Shell) -> None:
    code, output, complaints = shell.run("doctor")
    assert (code, complaints) == (0, "")
    assert {line.split()[0] for line in output.splitlines()[:-1]} <= {"works", "limited", "missing", "hint:"}
    assert output.splitlines()[-1].startswith("Ready: ")


def test_a_reader_that_does_not_read_the_help_is_no_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    answer = subprocess.run(
        [sys.executable, "-m", "tui", "--help"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    assert answer.stderr == b""


def test_a_theme_that_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "has_terminal", lambda: True)
    assert main(["--theme", "nope"]) == 2
    assert "there is no theme 'nope'; there are dirtytop-dark, dirtytop-light, " in capsys.readouterr().err
