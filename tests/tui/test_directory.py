from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.checkpoint.earlier import EarlierChain
from engine.checkpoint.link import Engine
from tui.directory import chain_name, examine_directory


def no_chain(path: Path) -> None:
    """Nothing that one could go on with."""


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("postgres", "postgres-7-now"),
        ("../../etc", "etc-7-now"),
        ("a b/c\x1b[31m", "a_b_c_31m-7-now"),
        ("名前", "process-7-now"),
        ("x" * 100, "x" * 40 + "-7-now"),
    ],
)
def test_a_chains_name_holds_only_harmless_characters(command: str, name: str) -> None:
    assert chain_name(command, 7, "now") == name


def test_a_directory_that_is_not_there_yet_will_do(tmp_path: Path) -> None:
    report = examine_directory(tmp_path / "new" / "chain", no_chain)
    assert report.problem == ""
    assert report.free_bytes > 0


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert examine_directory(tmp_path, no_chain).problem == ""


@pytest.mark.parametrize("entry", ["1", "pages-1.img", "inventory.img"])
def test_a_directory_that_holds_images_will_not_do(tmp_path: Path, entry: str) -> None:
    (tmp_path / entry).touch()
    assert "images" in examine_directory(tmp_path, no_chain).problem


def test_a_file_in_the_way_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "not a directory" in examine_directory(tmp_path / "file" / "chain", no_chain).problem


def test_a_relative_path_will_not_do() -> None:
    assert "absolute" in examine_directory(Path("chain"), no_chain).problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_we_may_not_write_to_will_not_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "permission" in examine_directory(tmp_path / "chain", no_chain).problem


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_that_others_could_exchange_will_do_only_if_they_are_trusted(tmp_path: Path) -> None:
    os.chown(tmp_path, 54321, 54321)
    problem = examine_directory(tmp_path / "chain", no_chain).problem
    assert "belongs to uid 54321" in problem
    assert "start with --trust-directory" in problem
    assert examine_directory(tmp_path / "chain", no_chain, trusts=True).problem == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_with_a_chain_that_others_could_have_exchanged_nobody_goes_on(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    os.chown(tmp_path, 54321, 54321)
    earlier = EarlierChain(tmp_path, Engine.MEMORY, 1, "", "")
    report = examine_directory(tmp_path, lambda _: earlier, trusts=True)
    assert "belongs to uid 54321" in report.problem
    assert "--trust-directory" not in report.problem


def test_a_hostile_name_is_told_printable(tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b]0;title\x07"
    hostile.touch()
    assert "\x1b" not in examine_directory(hostile, no_chain).problem
