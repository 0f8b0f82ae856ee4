"""What a missing file of /proc means: that its process has ended only if it has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.errors import NotSupported, TargetGone, kernel_errors
from engine.kernel.process import child_processes, children_of, read_stat
from tests.targets.scripted import ScriptedTarget

PROJECT = Path(__file__).parents[2]


def in_a_mount_namespace(commands: str, program: str, *, as_nobody: bool = False) -> str:
    """Run a program of ours where these commands have changed what is mounted; what it printed."""
    drop = "import os; os.setgid(65534); os.setuid(65534)\n" if as_nobody else ""
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{program}"
    # Modules are found before the user is one that may not read them.
    preload = "import engine.kernel.maps, engine.kernel.process, engine.errors\n"
    code = code.replace("\n", f"\n{preload}{drop}", 1)
    script = f'{commands} && exec {sys.executable} -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", code], capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


TELL = """
from engine.errors import DirtytopError
from engine.kernel.maps import read_maps
try:
    read_maps({pid})
except DirtytopError as error:
    print(type(error).__name__, error.message)
"""


def test_a_file_that_this_kernel_does_not_have_says_nothing_of_the_process() -> None:
    not_there = r"cannot read its hat: /proc/\d+/hat is not there"
    with pytest.raises(NotSupported, match=not_there), kernel_errors(os.getpid(), "read its hat"):
        open(f"/proc/{os.getpid()}/hat").close()


def test_a_process_whose_map_is_missing_has_not_exited(target: ScriptedTarget) -> None:
    pid = target.pid
    directory = f"/proc/{pid}"
    with_stat_alone = (
        f'stat=$(cat {directory}/stat) && mount -t tmpfs none {directory} && echo "$stat" >{directory}/stat'
    )
    told = in_a_mount_namespace(with_stat_alone, TELL.format(pid=pid))
    assert told == f"NotSupported process {pid}: cannot read its memory map: /proc/{pid}/maps is not there\n"


def test_a_process_that_is_hidden_has_not_exited(target: ScriptedTarget) -> None:
    told = in_a_mount_namespace(
        "mount -t proc -o hidepid=2 proc /proc", TELL.format(pid=target.pid), as_nobody=True
    )
    expected = f"process {target.pid}: not permitted to read its memory map: /proc hides it from us"
    assert told == f"NotPermitted {expected}\n"


def test_a_process_that_has_exited_has() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    for name in ("stat", "maps", "hat"):
        with pytest.raises(TargetGone, match="has exited"), kernel_errors(child, f"read its {name}"):
            open(f"/proc/{child}/{name}").close()


def test_a_zombie_has_exited_too() -> None:
    with subprocess.Popen(["/bin/true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(TargetGone), kernel_errors(zombie.pid, "read its hat"):
            open(f"/proc/{zombie.pid}/hat").close()


def test_a_thread_that_has_ended_is_gone_though_its_process_is_not() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    while os.path.exists(f"/proc/{os.getpid()}/task/{thread.native_id}"):
        time.sleep(0.001)
    with pytest.raises(TargetGone):
        read_stat(os.getpid(), thread.native_id)


class TestListing:
    """Processes and threads end between any two looks."""

    def test_a_parent_that_ends_while_its_threads_are_listed_has_no_children(
        self, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = target.fork()
        listdir = os.listdir

        def gone(path: str) -> list[str]:
            if path == f"/proc/{child}/task":
                raise ProcessLookupError(3, "No such process", path)
            return listdir(path)

        monkeypatch.setattr(os, "listdir", gone)
        assert [stat.pid for stat in child_processes({target.pid})] == [child]
        assert child_processes({child}) == []

    def test_a_thread_that_ends_takes_no_other_threads_children_with_it(
        self, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = target.fork()
        listdir = os.listdir
        ended = str(2**22 - 1)
        monkeypatch.setattr(os, "listdir", lambda path: [ended, *listdir(path)])
        assert [stat.pid for stat in child_processes({target.pid})] == [child]

    def test_a_pid_that_is_gone_is_no_child(
        self, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = target.fork()
        listdir = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), str(2**22 - 1)])
        assert list(children_of({target.pid})) == [child]
