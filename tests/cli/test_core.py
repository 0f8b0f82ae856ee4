"""`dirtytop core`, as people and programs call it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from engine.workloads import Workload
from tests.cli.shell import Shell, ended
from tests.core.reading import ElfCore

pytestmark = pytest.mark.usefixtures("no_criu")


@pytest.fixture
def chain(shell: Shell, steady: Workload, tmp_path: Path) -> Path:
    """A pre-dump and a dump."""
    directory = tmp_path / "chain"
    shell.succeeds("checkpoint", steady.pid, directory, "--pre-dumps", 1, "--every", 0.05)
    return directory


def test_a_process_gets_a_core_and_runs_on(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = shell.succeeds("core", steady.pid, out)
    assert said.startswith(f"{out}: ")
    assert f" of process {steady.pid}, 1 thread; it was stopped for " in said
    assert ElfCore(out).saved()
    assert os.path.exists(f"/proc/{steady.pid}")
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_programs_get_an_object_for_each_core(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    (made,) = shell.told("core", steady.pid, tmp_path / "out", "--pre-dumps", 2)
    assert made["schema"] == 1
    assert made["path"] == str(tmp_path / "out")
    assert (made["pid"], made["threads"], made["pre_dumps"]) == (steady.pid, 1, 2)
    assert (made["torn"], made["remarks"]) == (False, [])
    assert 0 < made["written_bytes"] < made["bytes"] == (tmp_path / "out").stat().st_size
    assert made["stopped_us"] > 0


def test_any_link_of_a_chain_gets_one(shell: Shell, chain: Path, tmp_path: Path) -> None:
    code, said, noted = shell.run("core", chain / "1", tmp_path / "earlier")
    assert (code, "no registers" in said) == (0, True)
    assert noted.startswith("note: torn: made of a pre-dump")
    said = shell.succeeds("core", chain, tmp_path / "newest")
    assert said.endswith(", 1 thread\n")
    (made,) = shell.told("core", chain / "1", tmp_path / "again")
    assert made["torn"]
    assert made["stopped_us"] is None


def test_a_core_of_a_link_needs_a_name_and_takes_no_pre_dumps(shell: Shell, chain: Path) -> None:
    assert "name the file" in shell.fails(2, "core", chain)
    assert "--pre-dumps" in shell.fails(2, "core", chain, chain / "out", "--pre-dumps", 1)


def test_nothing_is_written_over_and_what_is_no_chain_is_said(
    shell: Shell, steady: Workload, chain: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert "is there already" in shell.fails(1, "core", steady.pid, taken)
    assert "is there already" in shell.fails(1, "core", chain, taken)
    assert taken.read_text() == "mine"
    assert "holds no images" in shell.fails(1, "core", tmp_path, tmp_path / "out")
    assert shell.fails(4, "core", "no-such-process", tmp_path / "out").startswith("dirtytop: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to give a directory away")
def test_links_that_others_can_change_are_refused(shell: Shell, chain: Path, tmp_path: Path) -> None:
    os.chown(chain / "2", 65534, 65534)
    assert "65534" in shell.fails(3, "core", chain, tmp_path / "out")
    shell.succeeds("core", chain, tmp_path / "out", "--trust-directory")


def test_an_interrupt_leaves_nothing(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    process = shell.start("core", steady.pid, tmp_path / "out" / "core")
    while not os.listdir(tmp_path / "out") and process.poll() is None:
        os.sched_yield()
    code, _, complaints = ended(process, signal.SIGINT)
    assert os.path.exists(f"/proc/{steady.pid}")
    left = os.listdir(tmp_path / "out")
    # It may have been done by then; half a core there never is.
    assert (code, left) in ((1, []), (0, ["core"])), complaints
