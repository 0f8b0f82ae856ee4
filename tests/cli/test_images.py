"""`dirtytop images`, `verify` and `flatten`, on chains that are sound and on others."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import Shell, objects
from tests.images.building import write_chain


@pytest.fixture
def chain(chain_directory: Path) -> Path:
    return write_chain(chain_directory)


def cut_a_pages_file(link: Path) -> None:
    (pages,) = link.glob("pages-*.img")
    os.truncate(pages, pages.stat().st_size - 1)


def test_people_get_a_table_of_the_links(shell: Shell, chain: Path) -> None:
    header, *links, summary = shell.succeeds("images", chain).splitlines()
    assert header.split()[:2] == ["link", "kind"]
    assert [line.split()[:2] for line in links] == [["1", "pre-dump"], ["2", "pre-dump"], ["3", "dump"]]
    assert summary == f"in {chain}; memory only, not restorable"


def test_a_link_stands_for_the_chain_that_ends_in_it(shell: Shell, chain: Path) -> None:
    assert shell.succeeds("verify", chain / "2") == "sound: 2 links\n"


def test_each_problem_is_on_a_line_of_its_own(shell: Shell, chain: Path) -> None:
    for number in (1, 2):
        cut_a_pages_file(chain / str(number))
    code, output, _ = shell.run("verify", chain)
    assert code == 1
    assert [line.split(": ")[0] for line in output.splitlines()] == [str(chain / "1"), str(chain / "2")]


def test_programs_get_the_same_as_one_object(shell: Shell, chain: Path, tmp_path: Path) -> None:
    code, output, _ = shell.run("flatten", chain, tmp_path / "flat", "--json")
    (flat,) = objects(output)
    assert (code, flat["links"], flat["path"]) == (0, 3, str(tmp_path / "flat"))
    assert shell.run("verify", chain, "--json")[0] == 0
    (pages,) = (chain / "2").glob("pages-*.img")
    os.truncate(pages, pages.stat().st_size - 1)
    code, output, _ = shell.run("verify", chain, "--json")
    (judged,) = objects(output)
    assert (code, judged["links"], judged["sound"]) == (1, 3, False)
    assert [problem["path"] for problem in judged["problems"]] == [str(chain / "2")]


def test_a_chain_whose_parent_is_gone_cannot_be_read(shell: Shell, chain: Path) -> None:
    (chain / "1").rename(chain / "elsewhere")
    for command in (["verify", chain], ["images", chain], ["flatten", chain, chain / "flat"]):
        assert shell.fails(1, *command).splitlines()[0].startswith(f"dirtytop: {chain / '2'}")
    assert not (chain / "flat").exists()


def test_the_list_says_what_can_be_done_only_of_a_sound_chain(shell: Shell, chain: Path) -> None:
    cut_a_pages_file(chain / "2")
    output = shell.succeeds("images", chain)
    assert output.splitlines()[-1] == f"in {chain}; not sound: 1 problem, which `dirtytop verify` names"
    assert [row["sound"] for row in shell.told("images", chain)] == [True, False, False]


def test_nothing_is_made_of_what_verify_rejects(shell: Shell, chain: Path) -> None:
    cut_a_pages_file(chain / "1")
    assert shell.run("verify", chain)[0] == 1
    complaints = shell.fails(1, "flatten", chain, chain / "flat")
    assert complaints.startswith(f"dirtytop: the chain is not sound: {chain / '1'}: pages-1.img has")
    assert not (chain / "flat").exists()


def test_a_newest_link_that_lost_its_statistics_is_not_passed_over(shell: Shell, chain: Path) -> None:
    (chain / "3" / "stats-dump").unlink()
    assert shell.run("verify", chain) == (
        1,
        f"{chain / '3'}: stats-dump is missing: the link is incomplete\n",
        "",
    )
    shell.succeeds("verify", chain / "2")


def test_a_chain_with_an_absolute_parent_is_listed(shell: Shell, chain: Path) -> None:
    (chain / "3" / "parent").unlink()
    (chain / "3" / "parent").symlink_to(chain / "2")
    rows = shell.succeeds("images", chain).splitlines()[1:-1]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]


def test_verify_does_not_advise_to_verify(shell: Shell, chain: Path) -> None:
    os.truncate(chain / "1" / "stats-dump", 9)
    complaints = shell.fails(1, "verify", chain)
    assert "stats-dump: at byte 8: the file ends" in complaints
    assert "hint:" not in complaints
    assert "hint: `dirtytop verify DIR`" in shell.run("images", chain)[2]


def test_a_format_that_is_not_known_is_neither_sound_nor_damaged(shell: Shell, chain: Path) -> None:
    (pagemap,) = (chain / "2").glob("pagemap-*.img")
    entry = b"\x08\x00\x10\x01\x20\x04\x32\x02\x08\x10"
    with open(pagemap, "ab") as file:
        file.write(struct.pack("<I", len(entry)) + entry)
    for command in (["verify", chain], ["flatten", chain, chain / "flat"]):
        error, hint = shell.fails(5, *command).splitlines()
        assert "made by a newer CRIU (compressed pages, perhaps)" in error
        assert hint.startswith("hint: ")
    assert "made by a newer CRIU" in shell.succeeds("images", chain).splitlines()[-1]
    assert {row["sound"] for row in shell.told("images", chain)} == {None}


def test_flatten_never_writes_over_anything(shell: Shell, chain: Path) -> None:
    before = sorted(os.listdir(chain / "1"))
    assert shell.fails(1, "flatten", chain, chain / "1").startswith("dirtytop: ")
    assert sorted(os.listdir(chain / "1")) == before


@pytest.mark.parametrize("command", ["images", "verify"])
def test_a_directory_without_images_is_an_error_with_a_hint(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    error, hint = shell.fails(1, command, tmp_path).splitlines()
    assert error == f"dirtytop: {tmp_path} holds no images"
    assert hint.startswith("hint: ")


def test_a_hostile_path_is_shown_printable(shell: Shell, tmp_path: Path) -> None:
    directory = tmp_path / "\x1b[31mred\n"
    directory.mkdir()
    complaints = shell.fails(1, "images", directory)
    assert "␛[31mred␊" in complaints
    assert "\x1b" not in complaints


def test_output_survives_an_encoding_that_lacks_a_character(chain: Path) -> None:
    renamed = chain.rename(chain.with_name("µ"))
    answer = subprocess.run(
        [sys.executable, "-m", "tui", "images", renamed],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert rf"{renamed.parent}/\xb5; memory only" in answer.stdout
