"""Where others could exchange what is written or read: refused with 3, unless the user says otherwise."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.images.layout import LinkKind
from tests.cli.shell import Shell, ended, line_of
from tests.images.building import write_link
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

FAILED, NOT_PERMITTED = 1, 3
BOB = 54321
QUICK = ("--engine", "memory", "--pre-dumps", 1, "--every", 0.01)


@pytest.fixture
def bobs(tmp_path: Path) -> Path:
    """A directory of another user's."""
    made = tmp_path / "bobs"
    made.mkdir()
    os.chown(made, BOB, BOB)
    return made


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Of links that are ours."""
    made = tmp_path / "ours" / "chain"
    made.mkdir(parents=True, mode=0o700)
    write_link(made / "1", {42: {1: 1, 2: 2}})
    return write_link(made / "2", {42: {2: 3}}, {42: [1]}, parent=made / "1", kind=LinkKind.DUMP).parent


def test_a_checkpoint_there_needs_trust(shell: Shell, target: ScriptedTarget, bobs: Path) -> None:
    made = bobs / "deep" / "chain"
    complaints = shell.fails(NOT_PERMITTED, "checkpoint", target.pid, made, *QUICK)
    assert f"{bobs} belongs to uid {BOB}" in complaints
    assert "--trust-directory" in complaints
    assert os.listdir(bobs) == []

    shell.succeeds("checkpoint", target.pid, made, *QUICK, "--trust-directory")
    shell.succeeds("verify", made)
    for path in (bobs / "deep", made, *made.rglob("*")):
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o077, path


def test_with_what_others_may_have_made_of_a_chain_nobody_goes_on(
    shell: Shell, target: ScriptedTarget, bobs: Path
) -> None:
    chain = ("checkpoint", target.pid, bobs / "chain", "--engine", "memory", "--trust-directory")
    waiting = shell.start(*chain, "--pre-dumps", 1, "--every", 600)
    assert "pre-dump" in line_of(waiting)
    ended(waiting, signal.SIGTERM)
    assert "begin another" in shell.fails(NOT_PERMITTED, *chain, "--continue", "--pre-dumps", 0)
    assert os.listdir(bobs / "chain") == ["1"]


def test_to_flatten_there_or_from_there_needs_trust(
    shell: Shell, chain: Path, bobs: Path, tmp_path: Path
) -> None:
    for out in (bobs / "flat", tmp_path / "flat"):
        if out.parent != bobs:
            os.chown(chain / "1", BOB, BOB)
        assert f"belongs to uid {BOB}" in shell.fails(NOT_PERMITTED, "flatten", chain, out)
        assert not out.exists()
        shell.succeeds("flatten", chain, out, "--trust-directory")
        shell.succeeds("verify", out)


def give_away_a_file(chain: Path) -> None:
    os.chown(chain / "1" / "pages-1.img", BOB, BOB)


def give_away_what_is_above(chain: Path) -> None:
    os.chown(chain.parent, BOB, BOB)


SPOILT: dict[str, Callable[[Path], None]] = {
    "a file is theirs": give_away_a_file,
    "a link is theirs": lambda chain: os.chown(chain / "2", BOB, BOB),
    "what is above is theirs": give_away_what_is_above,
    "they may write": lambda chain: (chain / "2" / "pstree.img").chmod(0o666),
}


@pytest.mark.parametrize("how", SPOILT)
def test_without_a_terminal_images_that_others_can_change_are_not_restored(
    shell: Shell, chain: Path, how: str
) -> None:
    assert "memory and registers" in shell.fails(FAILED, "restore", chain)
    SPOILT[how](chain)
    complaints = shell.fails(NOT_PERMITTED, "restore", chain)
    assert "is not safe from others" in complaints
    assert "--trust-directory" in complaints
    assert "memory and registers" in shell.fails(FAILED, "restore", chain, "--trust-directory")


@pytest.mark.parametrize(
    ("answer", "code", "end"),
    [(b"n\n", NOT_PERMITTED, b"--trust-directory"), (b"y\n", FAILED, b"memory and")],
)
def test_on_a_terminal_it_is_asked(shell: Shell, chain: Path, answer: bytes, code: int, end: bytes) -> None:
    give_away_a_file(chain)
    terminal = shell.start_on_terminal("restore", chain)
    terminal.wait_for(b"[y/N]")
    assert b"pages-1.img is not safe from others: it belongs to" in terminal.shown
    terminal.type(answer)
    assert terminal.wait_for_end() == code
    assert end in terminal.shown


def test_nothing_is_asked_where_everything_is_ours(shell: Shell, chain: Path) -> None:
    terminal = shell.start_on_terminal("restore", chain)
    assert terminal.wait_for_end() == FAILED
    assert b"[y/N]" not in terminal.shown


def test_looking_needs_no_trust(shell: Shell, chain: Path) -> None:
    give_away_what_is_above(chain)
    shell.succeeds("images", chain)
    shell.succeeds("verify", chain)


def test_doctor_says_why_a_program_is_not_used(
    shell: Shell, bobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = bobs / "criu"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("DIRTYTOP_CRIU", str(program))
    _, output, _ = shell.run("doctor")
    assert f"{program} is not safe from others" in output
    assert "chown root" in output
