"""`dirtytop checkpoint --engine criu` and `dirtytop restore`, with the CRIU that works here, if one does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.criu.features import Criu
from tests.cli.shell import Shell, ended, line_of, objects
from tests.criu.outliving import Outliving

FAILED, WRONG_USE, NOT_SUPPORTED = 1, 2, 5
DUMP_ALONE = ("--engine", "criu", "--pre-dumps", 0)


@pytest.fixture
def killed(shell: Shell, criu_works: Criu, judge: Outliving, chain_directory: Path) -> dict[str, Any]:
    """The link by which the process has ended."""
    arguments = ("checkpoint", judge.pid, chain_directory, *DUMP_ALONE, "--after", "kill")
    (link,) = shell.told(*arguments)
    judge.bury()
    return link


def test_a_process_is_dumped_killed_and_restored(
    shell: Shell, killed: dict[str, Any], judge: Outliving, chain_directory: Path
) -> None:
    assert (killed["engine"], killed["kind"], killed["restorable"]) == ("criu", "dump", True)
    (listed,) = shell.told("images", chain_directory)
    assert all(listed[key] == killed[key] for key in ("pages_written", "bytes", "stopped_us", "restorable"))
    assert shell.succeeds("verify", chain_directory) == "sound: 1 link\n"
    (restored,) = shell.told("restore", chain_directory, "--detach")
    assert (restored["pid"], restored["processes"], restored["stopped"]) == (judge.pid, 1, False)
    assert judge.judge()[1] == 0


@pytest.mark.usefixtures("killed")
def test_without_detach_the_end_is_waited_for_and_told(
    shell: Shell, judge: Outliving, chain_directory: Path
) -> None:
    restoring = shell.start("restore", chain_directory)
    assert f"process {judge.pid} restored" in line_of(restoring)
    assert judge.judge()[1] == 0
    os.kill(judge.pid, signal.SIGTERM)
    code, output, _ = ended(restoring)
    assert (code, output) == (0, f"process {judge.pid} was killed by SIGTERM\n")


@pytest.mark.usefixtures("killed")
def test_what_is_restored_outlives_the_waiting(shell: Shell, judge: Outliving, chain_directory: Path) -> None:
    restoring = shell.start("restore", chain_directory, "--leave-stopped", "--json")
    assert objects(line_of(restoring))[0]["stopped"] is True
    _, output, _ = ended(restoring, signal.SIGTERM)
    assert objects(output) == [{"pid": judge.pid, "exit_code": None}]
    os.kill(judge.pid, signal.SIGCONT)
    assert judge.judge()[1] == 0


def test_pre_dumps_where_there_is_no_tracking_are_refused_with_a_way_out(
    shell: Shell, criu_works: Criu, judge: Outliving, chain_directory: Path
) -> None:
    if criu_works.has_memory_tracking:
        pytest.skip("this kernel has soft-dirty bits")
    arguments = ("checkpoint", judge.pid, chain_directory, "--engine", "criu")
    assert "--pre-dumps 0" in shell.fails(NOT_SUPPORTED, *arguments)
    assert not chain_directory.exists()


@pytest.mark.usefixtures("criu_works")
def test_a_job_of_a_shell_is_refused_before_anything_is_touched(
    shell: Shell, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as judge:
        arguments = ("checkpoint", judge.pid, chain_directory, *DUMP_ALONE)
        complaints = shell.fails(NOT_SUPPORTED, *arguments)
        assert "not the leader of its session" in complaints
        assert "`--shell-job`" in complaints
        assert not chain_directory.exists()
        shell.succeeds(*arguments, "--shell-job")


@pytest.mark.usefixtures("criu_works")
def test_a_pid_that_is_taken_ends_with_one_and_names_it(
    shell: Shell, judge: Outliving, chain_directory: Path
) -> None:
    restores = f"to restore it: dirtytop restore {chain_directory}"
    output = shell.succeeds("checkpoint", judge.pid, chain_directory, *DUMP_ALONE)
    assert output.splitlines()[-1] == restores
    assert shell.succeeds("images", chain_directory).endswith(f"; {restores}\n")
    assert f"pid {judge.pid} is taken by" in shell.fails(FAILED, "restore", chain_directory)


def test_links_without_files_cannot_be_restored(
    shell: Shell, judge: Outliving, chain_directory: Path
) -> None:
    links = ("--engine", "memory", "--pre-dumps", 1, "--every", 0.1)
    shell.succeeds("checkpoint", judge.pid, chain_directory, *links)
    assert "is a pre-dump" in shell.fails(FAILED, "restore", chain_directory / "1")
    complaints = shell.fails(FAILED, "restore", chain_directory)
    assert "memory and registers" in complaints
    assert "--engine criu" in complaints


@pytest.mark.parametrize("options", [DUMP_ALONE, ("--engine", "spliced"), ("--shell-job",)])
def test_without_criu_it_is_said_where_one_was_looked_for(
    shell: Shell, judge: Outliving, chain_directory: Path, no_criu: None, options: tuple[object, ...]
) -> None:
    complaints = shell.fails(NOT_SUPPORTED, "checkpoint", judge.pid, chain_directory, *options)
    assert "DIRTYTOP_CRIU" in complaints
    assert "/nowhere/criu" in complaints
    assert not chain_directory.exists()


def test_options_of_criu_without_criu_are_wrong_use(
    shell: Shell, judge: Outliving, chain_directory: Path
) -> None:
    arguments = ("checkpoint", judge.pid, chain_directory, "--engine", "memory", "--tcp-established")
    assert "--engine criu" in shell.fails(WRONG_USE, *arguments)
    assert not chain_directory.exists()
