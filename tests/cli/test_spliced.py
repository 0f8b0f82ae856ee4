"""`dirtytop checkpoint --engine spliced`, with the CRIU that works here, if one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.tracking.session import Session
from tests.cli.shell import Shell
from tests.criu.outliving import Outliving

pytestmark = pytest.mark.usefixtures("criu_works")


@pytest.mark.parametrize("engine", ["spliced", "auto"])
def test_a_process_is_dumped_killed_and_restored(
    shell: Shell, judge: Outliving, chain_directory: Path, engine: str
) -> None:
    how = ("--engine", engine, "--after", "kill", "--every", 0.1)
    links = shell.told("checkpoint", judge.pid, chain_directory, *how)
    assert [(link["engine"], link["kind"]) for link in links] == [
        ("spliced", "pre-dump"),
        ("spliced", "pre-dump"),
        ("spliced", "dump"),
    ]
    assert links[-1]["restorable"]
    assert links[-1]["pages_in_parent"] > 0
    judge.bury()
    assert shell.succeeds("verify", chain_directory) == "sound: 3 links\n"
    shell.told("restore", chain_directory, "--detach")
    assert judge.judge()[1] == 0


def test_a_chain_of_pre_dumps_is_ended_by_a_splice(
    shell: Shell, judge: Outliving, chain_directory: Path
) -> None:
    with Session(judge.pid) as session:
        MemoryChain(session, chain_directory).pre_dump()
    how = ("--continue", "--pre-dumps", 0, "--after", "kill")
    (last,) = shell.told("checkpoint", judge.pid, chain_directory, *how)
    assert (last["engine"], last["link"], last["restorable"]) == ("spliced", 2, True)
    judge.bury()
    shell.succeeds("restore", chain_directory, "--detach")
    assert judge.judge()[1] == 0


def test_a_target_that_belongs_to_a_shell_is_saved_without_what_criu_would_add(
    shell: Shell, tmp_path: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as judge:
        (link,) = shell.told("checkpoint", judge.pid, tmp_path / "chain", "--pre-dumps", 0)
        assert link["engine"] == "memory"
        (link,) = shell.told("checkpoint", judge.pid, tmp_path / "other", "--pre-dumps", 0, "--shell-job")
        assert (link["engine"], link["restorable"]) == ("spliced", True)
