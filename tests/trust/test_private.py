"""Directories of our own, and what is left of them."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import LinkFailed
from engine.trust.private import PrivateDirectory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root works with CRIU")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    found = (tmp_path / "first" / "dirtytop", tmp_path / "second" / "dirtytop")
    for path in found:
        path.parent.mkdir()
    monkeypatch.setattr("engine.trust.private._places", lambda: tuple(map(str, found)))
    return found


def test_it_is_ours_alone_and_gone_in_the_end(places: tuple[Path, Path]) -> None:
    before = os.umask(0)
    try:
        with PrivateDirectory() as made:
            assert made.path.parent == places[0]
            for path in (made.path, places[0]):
                assert stat.S_IMODE(path.stat().st_mode) == 0o700
            (made.path / "criu.log").touch()
    finally:
        os.umask(before)
    assert os.listdir(places[0]) == []


def test_one_that_is_kept_stays_under_a_name_of_its_own(places: tuple[Path, Path]) -> None:
    with PrivateDirectory() as made:
        (made.path / "criu.log").touch()
        kept = made.keep()
    PrivateDirectory().remove()
    assert os.listdir(kept) == ["criu.log"]


KILLED = """
import os, subprocess, sys
import engine.trust.private as private
private._places = lambda: (sys.argv[1],)
made = private.PrivateDirectory()
(made.path / "criu.log").touch()
child = subprocess.Popen(["sleep", "1000"], pass_fds=[made.fileno()], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_kill_leaves_is_removed_once_nobody_works_in_it(places: tuple[Path, Path]) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, places[0]], stdout=subprocess.PIPE, text=True, check=False
    )
    heir = int(killed.stdout)
    descriptor = os.pidfd_open(heir)
    try:
        PrivateDirectory().remove()
        assert len(os.listdir(places[0])) == 1
    finally:
        os.kill(heir, 9)
        select.select([descriptor], [], [])
        os.close(descriptor)
    PrivateDirectory().remove()
    assert os.listdir(places[0]) == []


def test_a_place_of_somebody_else_is_passed_over(places: tuple[Path, Path]) -> None:
    places[0].mkdir()
    os.chown(places[0], 54321, 54321)
    with PrivateDirectory() as made:
        assert made.path.parent == places[1]
    os.chown(places[1], 54321, 54321)
    with pytest.raises(LinkFailed, match="no directory") as failed:
        PrivateDirectory()
    assert str(places[0]) in failed.value.message


def test_a_link_in_its_place_is_not_followed(places: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    places[0].symlink_to(tmp_path / "elsewhere")
    with PrivateDirectory() as made:
        assert made.path.parent == places[1]
    assert os.listdir(tmp_path / "elsewhere") == []
