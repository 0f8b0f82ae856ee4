"""`dirtytop checkpoint --engine criu` and `dirtytop restore`, with the CRIU that works here, if one does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import examine_criu
from engine.errors import DirtytopError
from tests.cli.shell import Shell, objects
from tests.criu.outliving import Outliving

FAILED, WRONG_USE, NOT_SUPPORTED = 1, 2, 5
DUMP_ALONE = ("--engine", "criu", "--pre-dumps", 0)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Outliving]:
    """A process that CRIU can dump, and that finds out whether it did so well."""
    with Outliving.judging(tmp_path) as started:
        yield started


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return tmp_path / "chain"


@pytest.fixture
def has_tracking() -> bool:
    """Whether pre-dumps can be made here; nothing of CRIU may be asked where it does not work at all."""
    try:
        criu = examine_criu()
        criu.require_dump()
    except DirtytopError as error:
        pytest.skip(error.message)
    return criu.has_memory_tracking


@pytest.mark.usefixtures("has_tracking")
def test_a_process_is_dumped_killed_and_restored(shell: Shell, target: Outliving, chain: Path) -> None:
    code, output, complaints = shell.run(
        "checkpoint", target.pid, chain, *DUMP_ALONE, "--after", "kill", "--json"
    )
    assert (code, complaints) == (0, "")
    (link,) = objects(output)
    assert (link["engine"], link["kind"], link["restorable"]) == ("criu", "dump", True)
    target.bury()

    code, output, _ = shell.run("images", chain, "--json")
    (listed,) = objects(output)
    assert all(listed[key] == link[key] for key in ("pages_written", "bytes", "stopped_us", "restorable"))
    assert shell.run("verify", chain) == (0, "sound: 1 link\n", "")

    code, output, complaints = shell.run("restore", chain, "--detach", "--json")
    assert (code, complaints) == (0, "")
    (restored,) = objects(output)
    assert restored["pid"] == target.pid
    assert (restored["processes"], restored["stopped"]) == (1, False)
    assert target.judge()[1] == 0


@pytest.mark.usefixtures("has_tracking")
def test_without_detach_the_end_is_waited_for_and_told(shell: Shell, target: Outliving, chain: Path) -> None:
    assert shell.run("checkpoint", target.pid, chain, *DUMP_ALONE, "--after", "kill")[0] == 0
    target.bury()
    restoring = shell.start("restore", chain)
    assert restoring.stdout is not None
    assert f"process {target.pid} restored" in restoring.stdout.readline()
    assert target.judge()[1] == 0
    os.kill(target.pid, signal.SIGTERM)
    output, _ = restoring.communicate(timeout=60)
    assert output == f"process {target.pid} was killed by SIGTERM\n"
    assert restoring.returncode == 0


@pytest.mark.usefixtures("has_tracking")
def test_what_is_restored_outlives_the_waiting(shell: Shell, target: Outliving, chain: Path) -> None:
    code, output, _ = shell.run("checkpoint", target.pid, chain, *DUMP_ALONE, "--after", "kill")
    assert (code, output.splitlines()[-1]) == (0, f"to restore it: dirtytop restore {chain}")
    assert shell.run("images", chain)[1].endswith(f"; to restore it: dirtytop restore {chain}\n")
    target.bury()
    restoring = shell.start("restore", chain, "--leave-stopped", "--json")
    assert restoring.stdout is not None
    assert objects(restoring.stdout.readline())[0]["stopped"] is True
    restoring.send_signal(signal.SIGTERM)
    output, _ = restoring.communicate(timeout=60)
    assert objects(output) == [{"pid": target.pid, "exit_code": None}]
    os.kill(target.pid, signal.SIGCONT)
    assert target.judge()[1] == 0


def test_pre_dumps_where_there_is_no_tracking_are_refused_with_a_way_out(
    shell: Shell, target: Outliving, chain: Path, has_tracking: bool
) -> None:
    if has_tracking:
        pytest.skip("this kernel has soft-dirty bits")
    code, output, complaints = shell.run("checkpoint", target.pid, chain, "--engine", "criu")
    assert (code, output) == (NOT_SUPPORTED, "")
    assert "--pre-dumps 0" in complaints
    assert not chain.exists()


@pytest.mark.usefixtures("has_tracking")
def test_a_job_of_a_shell_is_refused_before_anything_is_touched(
    shell: Shell, tmp_path: Path, chain: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as target:
        code, _, complaints = shell.run("checkpoint", target.pid, chain, *DUMP_ALONE)
        assert code == NOT_SUPPORTED
        assert "not the leader of its session" in complaints
        assert "`--shell-job`" in complaints
        assert not chain.exists()
        code, _, _ = shell.run("checkpoint", target.pid, chain, *DUMP_ALONE, "--shell-job")
        assert code == 0


@pytest.mark.usefixtures("has_tracking")
def test_a_pid_that_is_taken_ends_with_one_and_names_it(shell: Shell, target: Outliving, chain: Path) -> None:
    assert shell.run("checkpoint", target.pid, chain, *DUMP_ALONE)[0] == 0
    code, output, complaints = shell.run("restore", chain)
    assert (code, output) == (FAILED, "")
    assert f"pid {target.pid} is taken by" in complaints


def test_links_without_files_cannot_be_restored(shell: Shell, target: Outliving, chain: Path) -> None:
    made = shell.run("checkpoint", target.pid, chain, "--engine", "memory", "--pre-dumps", 1, "--every", 0.1)
    assert made[0] == 0
    code, _, complaints = shell.run("restore", chain / "1")
    assert code == FAILED
    assert "is a pre-dump" in complaints
    code, _, complaints = shell.run("restore", chain)
    assert code == FAILED
    assert "memory and registers" in complaints
    assert "--engine criu" in complaints


def test_without_criu_it_is_said_where_to_get_it(
    shell: Shell, target: Outliving, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", str(chain / "none"))
    code, _, complaints = shell.run("checkpoint", target.pid, chain, *DUMP_ALONE)
    assert code == NOT_SUPPORTED
    assert "DIRTYTOP_CRIU" in complaints


def test_options_of_criu_without_criu_are_wrong_use(shell: Shell, target: Outliving, chain: Path) -> None:
    code, _, complaints = shell.run(
        "checkpoint", target.pid, chain, "--engine", "memory", "--tcp-established"
    )
    assert code == WRONG_USE
    assert "--engine criu" in complaints
    assert not chain.exists()
