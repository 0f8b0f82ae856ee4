"""`dirtytop checkpoint --engine spliced`, with the CRIU that works here, if one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import examine_criu
from engine.checkpoint.memory import MemoryChain
from engine.errors import DirtytopError
from engine.tracking.session import Session
from tests.cli.shell import Shell, objects
from tests.criu.outliving import Outliving

NOT_SUPPORTED = 5
QUICK = ("--every", 0.1, "--json")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Outliving]:
    """A process that CRIU can dump, and that finds out whether it did so well."""
    with Outliving.judging(tmp_path) as started:
        yield started


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return tmp_path / "chain"


@pytest.fixture
def criu_works() -> None:
    try:
        examine_criu().require_dump()
    except DirtytopError as error:
        pytest.skip(error.message)


@pytest.mark.usefixtures("criu_works")
@pytest.mark.parametrize("engine", ["spliced", "auto"])
def test_a_process_is_dumped_killed_and_restored(
    shell: Shell, target: Outliving, chain: Path, engine: str
) -> None:
    code, output, complaints = shell.run(
        "checkpoint", target.pid, chain, "--engine", engine, "--after", "kill", *QUICK
    )
    assert (code, complaints) == (0, "")
    links = objects(output)
    assert [(link["engine"], link["kind"]) for link in links] == [
        ("spliced", "pre-dump"),
        ("spliced", "pre-dump"),
        ("spliced", "dump"),
    ]
    assert links[-1]["restorable"]
    assert links[-1]["pages_in_parent"] > 0
    target.bury()
    assert shell.run("verify", chain) == (0, "sound: 3 links\n", "")
    code, _, complaints = shell.run("restore", chain, "--detach", "--json")
    assert (code, complaints) == (0, "")
    assert target.judge()[1] == 0


@pytest.mark.usefixtures("criu_works")
def test_a_chain_of_pre_dumps_is_ended_by_a_splice(shell: Shell, target: Outliving, chain: Path) -> None:
    with Session(target.pid) as session:
        MemoryChain(session, chain).pre_dump()
    code, output, _ = shell.run(
        "checkpoint", target.pid, chain, "--continue", "--pre-dumps", 0, "--after", "kill", "--json"
    )
    assert code == 0
    (last,) = objects(output)
    assert (last["engine"], last["link"], last["restorable"]) == ("spliced", 2, True)
    target.bury()
    assert shell.run("restore", chain, "--detach")[0] == 0
    assert target.judge()[1] == 0


@pytest.mark.usefixtures("criu_works")
def test_a_target_that_belongs_to_a_shell_is_saved_without_what_criu_would_add(
    shell: Shell, tmp_path: Path, chain: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as target:
        code, output, _ = shell.run("checkpoint", target.pid, chain, "--pre-dumps", 0, "--json")
        assert code == 0
        assert objects(output)[0]["engine"] == "memory"
        code, output, _ = shell.run(
            "checkpoint", target.pid, tmp_path / "other", "--pre-dumps", 0, "--shell-job", "--json"
        )
        assert code == 0
        assert (objects(output)[0]["engine"], objects(output)[0]["restorable"]) == ("spliced", True)


def test_without_criu_there_is_no_splice(
    shell: Shell, target: Outliving, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")
    code, output, complaints = shell.run("checkpoint", target.pid, chain, "--engine", "spliced")
    assert (code, output) == (NOT_SUPPORTED, "")
    assert "/nowhere/criu" in complaints
    code, _, complaints = shell.run("checkpoint", target.pid, chain, "--shell-job")
    assert code == NOT_SUPPORTED
    assert not chain.exists()
