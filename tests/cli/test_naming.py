"""A process may be named by what it is called, where a pid is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.process_names import find_called, names_of, script_of
from tests.cli.shell import Shell

WRONG_USE, GONE = 2, 4
SLEEP = shutil.which("sleep") or "/bin/sleep"

Start = Callable[[str], int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program that is called so, and sleeps; its pid."""
    with ExitStack() as started:

        def start_called(name: str) -> int:
            program = tmp_path / name
            if not program.exists():
                program.symlink_to(SLEEP)
            process = started.enter_context(subprocess.Popen([program, "600"]))
            started.callback(process.kill)
            return process.pid

        yield start_called


@pytest.fixture
def name(tmp_path: Path) -> str:
    """What no other process is called."""
    return f"quiet-{os.getpid()}-{tmp_path.name[-1]}"


@pytest.mark.parametrize("glob", ["{}", "{}*", "quie?{}"])
def test_the_only_process_of_a_name_is_taken(shell: Shell, start: Start, name: str, glob: str) -> None:
    pid = start(name)
    asked = glob.format(name) if not glob.startswith("quie") else glob.format(name.removeprefix("quiet"))
    code, output, complaints = shell.run("watch", asked, "--count", 1, "--interval", 0.1)
    assert code == 0, complaints
    assert str(pid) in output


def test_of_several_none_is_taken_and_all_are_listed(shell: Shell, start: Start, name: str) -> None:
    pids = [start(name), start(name)]
    code, output, complaints = shell.run("watch", name)
    assert (code, output) == (WRONG_USE, "")
    assert f"2 processes are called '{name}'" in complaints
    for pid in pids:
        assert f"{pid} is " in complaints


def test_a_name_that_nothing_has(shell: Shell, name: str) -> None:
    code, output, complaints = shell.run("watch", name)
    assert (code, output) == (GONE, "")
    assert f"there is no process called '{name}'" in complaints


def test_what_never_was_has_not_exited(shell: Shell) -> None:
    with open("/proc/sys/kernel/pid_max") as file:
        never = int(file.read())  # pids are lower
    code, _, complaints = shell.run("watch", never)
    assert code == GONE
    assert f"there is no process {never}" in complaints


def test_the_dashboard_takes_a_name_without_any_command(shell: Shell, start: Start, name: str) -> None:
    start(name)
    code, _, complaints = shell.run(name)
    assert code == WRONG_USE
    assert "the dashboard needs a terminal" in complaints


def test_a_script_is_found_and_not_only_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / f"worker_{os.getpid()}.py"
    script.write_text("print(flush=True)\ninput()\n")
    with subprocess.Popen(
        [sys.executable, "-u", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [each.pid for each in find_called(script.name)] == [process.pid]
        process.kill()


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["/usr/bin/python3.11", "-u", "/srv/worker.py", "--fast"], "worker.py"),
        (["python3", "-m", "http.server"], "http.server"),
        (["python3", "-c", "print()"], ""),
        (["node", "--inspect", "app.js"], "app.js"),
        (["java", "-jar", "/opt/a.jar"], "a.jar"),
        (["bash"], ""),
        (["redis-server", "*:6379"], ""),
    ],
)
def test_a_script_is_told_from_the_command_line(words: list[str], script: str) -> None:
    assert script_of(words) == script
    assert names_of("comm", words)[:2] == (os.path.basename(words[0]), "comm")


def test_text_of_strangers_is_shown_and_never_obeyed(shell: Shell, start: Start, name: str) -> None:
    start(f"{name}\x1b[2J")
    start(f"{name}\x1b]0;")
    _, _, complaints = shell.run("watch", f"{name}*")
    assert "2 processes" in complaints
    assert "\x1b" not in complaints
