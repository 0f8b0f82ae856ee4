"""`dirtytop demo tour` in a pipe: the whole story, told in lines."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

import tui.app
from engine.checkpoint.criu.features import examine_criu
from engine.errors import DirtytopError
from engine.kernel.process import read_stat
from tests.cli.shell import Shell, ended, line_of
from tui.cli import main
from tui.commands import demo


def can_restore() -> bool:
    try:
        examine_criu().require_dump()
    except DirtytopError:
        return False
    return True


def test_it_tells_each_phase_and_dumps_in_the_lull(shell: Shell, tmp_path: Path) -> None:
    code, output, complaints = shell.run("demo", "tour", "--dir", tmp_path / "kept")
    assert (code, complaints) == (0, "")
    lines = output.splitlines()
    told = [line.split("]")[0].removeprefix("[") for line in lines if line.startswith("[")]
    assert list(dict.fromkeys(told)) == ["steady", "burst", "quiet", "growing"]
    (burst,) = (at for at, line in enumerate(lines) if line.startswith("[burst]"))
    (dumped,) = (at for at, line in enumerate(lines) if re.match(r"dump \d:", line))
    assert lines.index("[quiet] nothing is written") < dumped
    assert any(line.startswith("  dump: quiet for ") for line in lines)
    assert any("pre-dump once" in line or "dump now" in line for line in lines[:burst]), "a forecast"
    assert any(line.startswith("verified: ") for line in lines)
    if can_restore():
        assert any("goes on where it was" in line for line in lines)
    assert shell.run("verify", tmp_path / "kept")[0] == 0


def test_ctrl_c_ends_the_target_too(shell: Shell) -> None:
    running = shell.start("demo", "tour")
    line_of(running)
    pid = int(line_of(running).split()[1])
    running.send_signal(signal.SIGINT)
    code, _, complaints = ended(running)
    assert code == 1
    assert complaints.startswith("dirtytop: interrupted")
    assert not Path(f"/proc/{pid}").exists()


def test_on_a_terminal_the_dashboard_opens_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def run(pids: list[int], **options: object) -> int:
        opened.extend(read_stat(pid).command for pid in pids)
        return 0

    monkeypatch.setattr(demo, "has_terminal", lambda: True)
    monkeypatch.setattr(tui.app, "run", run)
    assert main(["demo", "tour"]) == 0
    assert opened == ["tour-steady"]
