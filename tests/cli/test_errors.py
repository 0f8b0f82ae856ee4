"""What goes wrong, in one line with a hint, and always with the same exit code."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from engine.processes import list_processes
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.workloads import Workload
from tests.cli.shell import Shell, is_untouched
from tui.cli import dirtytop, main

NOBODY = 65534
PTRACE_SEIZE = 0x4206
PR_SET_DUMPABLE = 4
FAILED, WRONG_USE, NOT_PERMITTED, GONE, NOT_SUPPORTED = 1, 2, 3, 4, 5

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long,) * 4


def failure(shell: Shell, *arguments: object) -> tuple[int, str, str]:
    """The exit code, the error and the hint of a command that fails."""
    code, output, complaints = shell.run(*arguments)
    assert output == ""
    error, hint = complaints.splitlines()
    assert error.startswith("dirtytop: ")
    assert hint.startswith("hint: ")
    return code, error.removeprefix("dirtytop: "), hint.removeprefix("hint: ")


def gone_pid() -> int:
    """A pid that named a process a moment ago."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def about(pid: int, directory: Path) -> list[tuple[object, ...]]:
    """The commands that take a target."""
    return [("watch", pid), ("checkpoint", pid, directory / "chain")]


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["wathc", "1"], "there is no command 'wathc': did you mean watch?", "`dirtytop --help`"),
        (["frobnicate"], "no process of that name; the commands are demo, doctor,", "`dirtytop --help`"),
        (["watch"], "Missing argument 'PID'", "`dirtytop watch --help`"),
        (["watch", "0"], "0 is not in the range", "`dirtytop watch --help`"),
        (["watch", "1", "--interval", "nan"], "nan is not a number of seconds", "`dirtytop watch --help`"),
        (["watch", "1", "--interval", "0"], "0.0 is not in the range", "`dirtytop watch --help`"),
        (["watch", "1", "--tracker", "none"], "'none' is not one of", "`dirtytop watch --help`"),
        (["checkpoint", "1"], "Missing argument 'DIR'", "`dirtytop checkpoint --help`"),
        (
            ["checkpoint", "1", "/x", "--pre-dumps", "-1"],
            "-1 is not in the range",
            "`dirtytop checkpoint --help`",
        ),
        (["demo", "earthquake"], "'earthquake' is not one of", "`dirtytop demo --help`"),
        (["--colour"], "No such option", "`dirtytop --help`"),
        (["1"], "the dashboard needs a terminal", "`dirtytop --help`"),
        ([], "the dashboard needs a terminal", "`dirtytop --help`"),
    ],
)
def test_wrong_use(shell: Shell, arguments: Sequence[str], error: str, hint: str) -> None:
    code, said, advice = failure(shell, *arguments)
    assert code == WRONG_USE
    assert error in said
    assert hint in advice


def test_a_pid_of_no_process(shell: Shell, tmp_path: Path) -> None:
    pid = gone_pid()
    for command in about(pid, tmp_path):
        code, error, _ = failure(shell, *command)
        assert code == GONE
        assert str(pid) in error
    assert os.listdir(tmp_path) == []


def test_a_zombie(shell: Shell, tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    for command in about(process.pid, tmp_path):
        code, error, _ = failure(shell, *command)
        assert code == GONE
        assert "zombie" in error
    process.wait()


def test_a_kernel_thread(shell: Shell, tmp_path: Path) -> None:
    threads = [row.pid for row in list_processes() if row.untrackable == "kernel thread"]
    if not threads:
        pytest.skip("no kernel thread can be seen from here")
    for command in about(threads[0], tmp_path):
        code, error, _ = failure(shell, *command)
        assert code == NOT_SUPPORTED
        assert "kernel thread" in error


def test_a_process_that_another_is_tracing_names_the_tracer(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    assert _libc.ptrace(PTRACE_SEIZE, steady.pid, 0, 0) == 0
    for command in about(steady.pid, tmp_path):
        code, error, _ = failure(shell, *command)
        assert code == NOT_PERMITTED
        assert str(os.getpid()) in error
    # Only a stopped process can be let go of; the end of the workload does it for us.


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_another_users_process(steady: Workload, tmp_path: Path) -> None:
    # Imported while we still may read our own files.
    context = click.Context(dirtytop)
    assert all(dirtytop.get_command(context, name) for name in dirtytop.list_commands(context))
    for command in about(steady.pid, tmp_path):
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            sys.stderr = os.fdopen(theirs, "w")
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec: /proc/self is ours again
            os._exit(main([str(argument) for argument in command]))
        os.close(theirs)
        with os.fdopen(ours) as complaints:
            error, hint = complaints.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == NOT_PERMITTED
        assert error.startswith(f"dirtytop: process {steady.pid}: not permitted")
        assert "root" in hint
    assert is_untouched(steady.pid)


def test_a_tracker_that_this_kernel_lacks(shell: Shell, steady: Workload) -> None:
    lacking = [kind.value for kind in TrackerKind if not probe().of(kind).works]
    if not lacking:
        pytest.skip("both trackers work here")
    code, error, hint = failure(shell, "watch", steady.pid, "--tracker", lacking[0])
    assert code == NOT_SUPPORTED
    assert lacking[0] in error
    assert "doctor" in hint


def test_a_place_where_nothing_can_be_written(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, error, _ = failure(shell, "checkpoint", steady.pid, tmp_path / "file" / "chain")
    assert code == FAILED
    assert str(tmp_path / "file" / "chain") in error


def test_a_full_disk_under_stdout(steady: Workload) -> None:
    with open("/dev/full", "w") as full:
        watching = subprocess.run(
            [sys.executable, "-m", "tui", "watch", str(steady.pid), "--interval", "0.05"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert watching.returncode == FAILED
    assert watching.stderr.startswith("dirtytop: No space left on device")
    assert is_untouched(steady.pid)
