"""`dirtytop who`, as people and as programs get it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell, ended, is_untouched, objects
from tests.targets.compiled import CompiledTarget

QUICK = ("--exact", "--count", 2, "--interval", 0.2)


@pytest.fixture
def writing() -> Iterator[CompiledTarget]:
    """Five functions write again and again."""
    with CompiledTarget("five_writers", "50") as started:
        yield started


def test_people_get_a_table_of_functions(shell: Shell, writing: CompiledTarget) -> None:
    lines = shell.succeeds("who", writing.pid, *QUICK).splitlines()
    assert lines[0].split() == ["pages/s", "share", "function", "where"]
    assert lines[1].split()[2:] == ["write_5_hundred", "five_writers"]
    assert "pages written in" in lines[-1]


def test_programs_get_one_object_that_adds_up(shell: Shell, writing: CompiledTarget, tmp_path: Path) -> None:
    files = ("--folded", tmp_path / "folded", "--speedscope", tmp_path / "speedscope")
    (told,) = shell.told("who", writing.pid, *QUICK, *files)
    assert (told["schema"], told["pid"], told["by"], told["one_in"]) == (1, writing.pid, "function", 1)
    assert sum(row["pages"] for row in told["rows"]) == told["attributed_pages"]
    assert told["attributed_pages"] + told["unattributed_pages"] == told["written_pages"]
    stacks = (tmp_path / "folded").read_text().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in stacks) == told["attributed_pages"]
    assert json.loads((tmp_path / "speedscope").read_text())["exporter"] == "dirtytop"


@pytest.mark.parametrize("by", ["line", "thread", "mapping", "chain"])
def test_rows_are_what_was_asked_for(shell: Shell, writing: CompiledTarget, by: str) -> None:
    (told,) = shell.told("who", writing.pid, *QUICK, "--by", by)
    assert told["by"] == by
    assert told["rows"]


def test_a_target_that_exits_meanwhile_ends_it_with_what_was_seen(shell: Shell) -> None:
    with CompiledTarget("five_writers", "50") as writing:
        process = shell.start("who", writing.pid, "--interval", 0.2, "--count", 100_000, "--json")
        while is_untouched(writing.pid):
            assert process.poll() is None
        time.sleep(1)
        writing.process.kill()
        code, output, complaints = ended(process)
    assert (code, complaints) == (0, "")
    assert objects(output)[0]["written_pages"] > 0
