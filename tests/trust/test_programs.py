"""Which programs root runs, and what they are given to obey."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import VARIABLE, find_criu
from engine.checkpoint.criu.obeyed import criu_environment
from engine.errors import NotSupported, NotTrusted
from engine.trust.environment import search_path, settle
from engine.trust.files import find_program, read_obeyed, require_program

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="for others it is their own affair")

BOB = 54321


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of ours on a path of ours."""
    with tempfile.TemporaryDirectory(prefix="dirtytop-test-") as name:
        yield Path(name)


def install(directory: Path, name: str = "criu", owner: int = 0) -> Path:
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(program, owner, owner)
    return program


@pytest.mark.parametrize("path", [None, "", ":", ".", "::/nowhere:", "relative"])
def test_the_current_directory_is_never_searched(
    place: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    install(place)
    install(place / "relative")
    monkeypatch.chdir(place)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("engine.trust.environment.USUAL_PATH", ("/nowhere/bin",))
    monkeypatch.setattr("engine.checkpoint.criu.features._ALSO_LOOKED_IN", ())
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    with pytest.raises(NotSupported, match="not installed"):
        find_criu()


@needs_root
def test_doctor_runs_no_program_of_the_current_directory(place: Path) -> None:
    program = install(place)
    program.write_text(f"#!/bin/sh\ntouch {place}/executed\n")
    doctor = [sys.executable, "-m", "tui", "doctor"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    for variables in ({}, {"PATH": ""}, {"PATH": ":/nowhere"}):
        subprocess.run(doctor, cwd=place, env={**environment, **variables}, capture_output=True, check=False)
    assert not (place / "executed").exists()


@needs_root
def test_a_program_that_others_could_exchange_is_passed_over(place: Path) -> None:
    install(place / "bobs", owner=BOB)
    install(place / "open").chmod(0o777)
    ours = install(place / "ours")
    directories = [str(place / name) for name in ("bobs", "open", "ours")]
    assert find_program("criu", directories) == ours
    with pytest.raises(NotTrusted, match=f"belongs to uid {BOB}"):
        find_program("criu", directories[:2])
    with pytest.raises(NotTrusted, match="by everybody"):
        find_program("criu", directories[1:2])


@needs_root
def test_a_program_below_a_directory_of_others_is_refused(place: Path) -> None:
    program = install(place / "bobs")
    os.chown(place / "bobs", BOB, BOB)
    with pytest.raises(NotTrusted, match=f"{place}/bobs belongs to uid {BOB}") as refused:
        require_program(program)
    assert "chown root" in refused.value.hint


@needs_root
def test_a_link_to_a_program_is_as_good_as_what_it_leads_to(place: Path) -> None:
    install(place / "ours")
    install(place / "bobs", owner=BOB)
    for name in ("ours", "bobs"):
        (place / f"link-to-{name}").symlink_to(place / name / "criu")
    assert require_program(place / "link-to-ours") == place / "link-to-ours"
    with pytest.raises(NotTrusted):
        require_program(place / "link-to-bobs")


def test_what_is_no_program_is_not_run(place: Path) -> None:
    install(place).chmod(0o644)
    (place / "directory").mkdir()
    for name in ("criu", "directory"):
        with pytest.raises(PermissionError):
            require_program(place / name)
    with pytest.raises(FileNotFoundError):
        require_program(place / "none")


def test_the_variable_may_name_a_program_on_the_path_or_by_a_relative_path(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install(place / "bin", "criu-4.2")
    monkeypatch.setenv("PATH", str(place / "bin"))
    monkeypatch.setenv(VARIABLE, "criu-4.2")
    assert find_criu() == program
    monkeypatch.chdir(place)
    monkeypatch.setenv(VARIABLE, "bin/criu-4.2")
    assert find_criu() == program


@needs_root
def test_the_variable_does_not_make_root_run_what_others_could_exchange(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(install(place, owner=BOB)))
    with pytest.raises(NotTrusted):
        find_criu()


# -- the environment


@needs_root
def test_the_path_keeps_only_what_root_alone_can_change(place: Path) -> None:
    (place / "bobs").mkdir()
    os.chown(place / "bobs", BOB, BOB)
    (place / "ours").mkdir()
    path = f"{place}/bobs::{place}/ours:.:{place}/bobs/deeper"
    assert search_path({"PATH": path}) == [f"{place}/ours"]
    assert "/usr/bin" in search_path({"PATH": f"{place}/bobs"})


@needs_root
def test_the_home_of_another_user_becomes_roots(place: Path) -> None:
    os.chown(place, BOB, BOB)
    bobs = str(place)
    environment = {
        "HOME": bobs,
        "XDG_CONFIG_HOME": bobs,
        "TMPDIR": bobs,
        "XDG_STATE_HOME": "/root",
        "TERM": "x",
    }
    settle(environment)
    assert environment.pop("PATH")
    assert environment == {"HOME": "/root", "XDG_STATE_HOME": "/root", "TERM": "x"}


@needs_root
@pytest.mark.parametrize("name", ["CRIU_CONFIG_FILE", "CRIU_LIBS_DIR", "HOME"])
def test_criu_is_not_started_to_obey_what_others_can_write(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (place / ".criu").mkdir()
    (place / ".criu" / "default.conf").touch()
    os.chown(place / ".criu" / "default.conf", BOB, BOB)
    named = place if name == "HOME" else place / ".criu" / "default.conf"
    monkeypatch.setenv(name, str(named))
    with pytest.raises(NotTrusted, match=r"default\.conf belongs to"):
        criu_environment()


@needs_root
def test_what_root_has_set_up_for_criu_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / ".criu").mkdir()
    (place / ".criu" / "default.conf").touch()
    (place / "more.conf").touch()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("CRIU_CONFIG_FILE", "more.conf")
    environment = criu_environment()
    assert environment["HOME"] == str(place)
    assert environment["CRIU_CONFIG_FILE"] == str(place / "more.conf")


@needs_root
def test_a_file_of_options_is_read_if_it_is_roots(place: Path) -> None:
    options = place / "criu.conf"
    options.write_text("shell-job\n")
    assert read_obeyed(options) == b"shell-job\n"
    os.chown(options, BOB, BOB)
    with pytest.raises(NotTrusted, match="belongs to") as refused:
        read_obeyed(options)
    assert "install" in refused.value.hint


def test_a_fifo_in_place_of_options_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "criu.conf")
    with pytest.raises(OSError, match="not a plain file"):
        read_obeyed(place / "criu.conf")
