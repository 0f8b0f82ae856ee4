"""What a shell completes: commands, options, and processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tui.man_pages import write_man_pages


def completed(*words: str) -> list[str]:
    """What is offered for the last of these words."""
    answer = subprocess.run(
        [sys.executable, "-c", "import sys, tui.cli; sys.exit(tui.cli.main())"],
        env=os.environ
        | {
            "_DIRTYTOP_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("dirtytop", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in answer.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert completed("fl") == ["flatten"]
    assert completed("checkpoint", "--eng") == ["--engine"]
    assert completed("checkpoint", "1", "x", "--engine", "s") == ["spliced"]


def test_processes_are_completed_by_pid() -> None:
    assert str(os.getpid()) in completed("watch", str(os.getpid()))


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_understands_its_script(shell: Shell, name: str, tmp_path: Path) -> None:
    code, script, complaints = shell.run("completion", name)
    assert (code, complaints) == (0, "")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    path = tmp_path / "script"
    path.write_text(script)
    assert subprocess.run([name, "-n", path], capture_output=True).stderr == b""


def test_each_command_has_a_man_page(tmp_path: Path) -> None:
    pages = {path.name: path.read_text() for path in write_man_pages(tmp_path)}
    assert {"dirtytop.1", "dirtytop-watch.1", "dirtytop-checkpoint.1"} <= set(pages)
    assert "dirtytop-dashboard.1" not in pages
    assert r"\-\-interval" in pages["dirtytop.1"]
    assert r"\-\-pre\-dumps" in pages["dirtytop-checkpoint.1"]
