"""The process list, against processes made for it."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.kernel.process import Identity, identify
from engine.processes import ProcessLister, ProcessRow, list_processes

NOBODY = 65534
HOSTILE = b"\x1b[31m\xff[b]"
HOSTILE_SHOWN = r"␛[31m\xff[b]"


def row_of(pid: int) -> ProcessRow:
    (row,) = (row for row in list_processes() if row.pid == pid)
    return row


@contextmanager
def running(program: str, *arguments: str | bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that has printed a line when it is ready, and waits for the end of its input."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"{program}\nprint(flush=True); input()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_is_listed_with_what_the_kernel_says_of_it() -> None:
    with running(
        "import threading; threading.Thread(target=input, daemon=True).start()", "an argument"
    ) as child:
        row = row_of(child.pid)
        assert Identity(row.pid, row.start_ticks) == identify(child.pid)
        assert row.parent_pid == os.getpid()
        assert row.user == pwd.getpwuid(os.getuid()).pw_name
        assert row.threads == 2
        assert row.rss_bytes > 1 << 20
        assert row.command.startswith(sys.executable)
        assert row.command.endswith("an argument")
        assert row.untrackable == ""


def test_rows_ascend_by_pid() -> None:
    pids = [row.pid for row in list_processes()]
    assert pids == sorted(pids)


def test_a_busy_process_shows_its_cpu_use_from_the_second_look_on() -> None:
    lister = ProcessLister()
    with running(
        "import threading; threading.Thread(target=lambda: exec('while 1: pass'), daemon=True).start()"
    ) as child:

        def cpu_percent() -> float:
            return next(row.cpu_percent for row in lister.list() if row.pid == child.pid)

        assert cpu_percent() == 0
        while cpu_percent() == 0:
            assert child.poll() is None


def test_this_process_cannot_be_its_own_target() -> None:
    assert row_of(os.getpid()).untrackable == "ourselves"


def test_a_kernel_thread_is_named_in_brackets_and_is_not_trackable() -> None:
    rows = [row for row in list_processes() if row.untrackable == "kernel thread"]
    if not rows:
        pytest.skip("no kernel thread can be seen from here")
    assert all(row.command.startswith("[") and row.rss_bytes == 0 for row in rows)


def test_a_zombie_is_not_trackable() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    row = row_of(child.pid)
    child.wait()
    assert row.untrackable == "zombie"
    assert row.command == "[true]"


def test_a_traced_process_names_who_traces_it() -> None:
    tracer = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long,) * 4
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0, os.strerror(ctypes.get_errno())  # PTRACE_SEIZE
open('/proc/self/comm', 'w').write('a tracer')
print(os.getpid(), flush=True)
input()
"""
    with running("") as target:
        # Below a shell: a tracer that is our own child would be taken for our helper.
        shell = subprocess.Popen(
            ["sh", "-c", '"$0" "$@"; :', sys.executable, "-c", tracer, str(target.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert shell.stdout is not None
        tracer_pid = int(shell.stdout.readline())
        assert row_of(target.pid).untrackable == f"traced by pid {tracer_pid} (a tracer)"
        shell.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_privileges_another_users_process_is_not_trackable() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(theirs, row_of(os.getppid()).untrackable.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        assert answer.read() == f"another user's ({pwd.getpwuid(0).pw_name})"
    os.waitpid(child, 0)


def test_a_hostile_command_line_is_made_printable() -> None:
    with running("", HOSTILE, b"two\nlines") as child:
        assert row_of(child.pid).command.endswith(f"{HOSTILE_SHOWN} two␊lines")


def test_a_hostile_name_is_made_printable() -> None:
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(15, HOSTILE, 0, 0, 0)  # PR_SET_NAME
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    row = row_of(child)
    os.waitpid(child, 0)
    assert row.command == f"[{HOSTILE_SHOWN}]"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="i386 code")
def test_a_32_bit_program_is_not_trackable(tmp_path: Path) -> None:
    pause_for_ever = bytes.fromhex("b81d000000 cd80 ebf7")
    base, header_bytes = 0x08048000, 52 + 32
    program = tmp_path / "i386"
    program.write_bytes(
        b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
        + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + header_bytes, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        + struct.pack("<IIIIIIII", 1, 0, base, base, header_bytes + 9, header_bytes + 9, 5, 0x1000)
        + pause_for_ever
    )
    program.chmod(0o700)
    try:
        child = subprocess.Popen([program])
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    row = row_of(child.pid)
    child.kill()
    child.wait()
    assert row.untrackable == "32-bit"


def test_a_process_that_ends_between_two_looks_is_forgotten() -> None:
    lister = ProcessLister()
    with running("") as child:
        assert child.pid in {row.pid for row in lister.list()}
        child.send_signal(signal.SIGKILL)
    assert child.pid not in {row.pid for row in lister.list()}
