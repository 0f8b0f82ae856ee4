"""`dirtytop doctor PID`, and what `checkpoint` refuses of what it tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.workloads import Workload
from tests.cli.shell import Shell, is_untouched, objects
from tests.criu.outliving import Outliving
from tests.criu.outside import CANNOT, Held

NOT_SUPPORTED, GONE, WRONG_USE = 5, 4, 2


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Held]:
    """Something that needs one option."""
    with Held("flock", tmp_path) as started:
        yield started


@pytest.fixture
def hopeless(tmp_path: Path) -> Iterator[Held]:
    """Something that no CRIU dumps."""
    with Held("perf event", tmp_path) as started:
        if started.first_answer.startswith(CANNOT):
            pytest.skip(started.first_answer)
        yield started


@pytest.mark.usefixtures("criu_works")
def test_what_nothing_speaks_against_can_be_dumped(shell: Shell, judge: Outliving) -> None:
    assert shell.succeeds("doctor", judge.pid).startswith("can be dumped: yes, by spliced and criu\n")
    assert is_untouched(judge.pid)


@pytest.mark.usefixtures("criu_works")
def test_what_an_option_would_do_is_told_and_the_option_makes_the_difference(
    shell: Shell, locked: Held
) -> None:
    code, output, _ = shell.run("doctor", locked.pid)
    assert code == NOT_SUPPORTED
    assert output.startswith(
        "can be dumped: only with --file-locks\nneeds an option:\n  file lock: descriptor "
    )
    output = shell.succeeds("doctor", locked.pid, "--file-locks")
    assert output.startswith("can be dumped: yes")
    assert "at restore nobody else may hold it" in output


@pytest.mark.usefixtures("criu_works")
def test_for_a_program_it_tells_each_engine_and_each_place(shell: Shell, hopeless: Held) -> None:
    code, output, _ = shell.run("doctor", hopeless.pid, "--json")
    assert code == NOT_SUPPORTED
    (told,) = objects(output)
    assert told.keys() == {"schema", "pid", "criu", "restorable", "engines", "options", "findings"}
    assert (told["schema"], told["pid"], told["restorable"]) == (1, hopeless.pid, False)
    assert told["engines"]["memory"] == {"can": True, "why_not": ""}
    assert "perf_event" in told["engines"]["spliced"]["why_not"]
    (finding,) = [each for each in told["findings"] if each["severity"] == "blocks the dump"]
    assert finding["key"] == "kernel-object"
    assert [place["pid"] for place in finding["places"]] == [hopeless.pid]


@pytest.mark.usefixtures("criu_works")
@pytest.mark.parametrize("engine", ["criu", "spliced"])
def test_a_chain_that_could_not_be_ended_is_refused_and_nothing_is_touched(
    shell: Shell, hopeless: Held, tmp_path: Path, engine: str
) -> None:
    chain = tmp_path / "chain"
    arguments = ("checkpoint", hopeless.pid, chain, "--engine", engine, "--pre-dumps", 0)
    complaints = shell.fails(NOT_SUPPORTED, *arguments)
    assert "perf_event" in complaints
    assert "--no-preflight" in complaints
    assert not chain.exists()
    assert is_untouched(hopeless.pid)
    assert "criu could not dump" in shell.fails(1, *arguments, "--no-preflight")


@pytest.mark.usefixtures("criu_works")
def test_auto_takes_memory_then_and_says_why(shell: Shell, hopeless: Held, tmp_path: Path) -> None:
    arguments = ("checkpoint", hopeless.pid, tmp_path / "chain", "--pre-dumps", 0)
    (dump,) = shell.told(*arguments)
    assert dump["engine"] == "memory"
    assert "perf_event" in dump["notes"][-1]
    terminal = shell.start_on_terminal(*arguments[:2], tmp_path / "other", *arguments[3:])
    terminal.wait_for(b"auto takes memory, which cannot be restored from, because kernel object")
    assert terminal.wait_for_end() == 0


@pytest.mark.usefixtures("no_criu")
def test_without_criu_it_says_so_and_what_is_left(shell: Shell, steady: Workload) -> None:
    code, output, _ = shell.run("doctor", steady.pid)
    assert code == NOT_SUPPORTED
    assert "only by memory: memory and registers" in output
    assert "/nowhere/criu" in output


def test_a_process_that_is_not_there_and_options_of_nothing(shell: Shell) -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    assert shell.run("doctor", gone)[0] == GONE
    assert shell.run("doctor", "--file-locks")[0] == WRONG_USE
