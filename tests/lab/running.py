"""Boots a guest, or takes the host as it is; runs the tests there and follows them to their end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.lab.initramfs import START, make_initramfs
from tests.lab.inside import EXIT_CODE
from tests.lab.packing import pack_project
from tests.lab.places import (
    HOST,
    PROJECT,
    PROJECT_IN_GUEST,
    SHARED_IN_GUEST,
    VENV_IN_GUEST,
    Guest,
)
from tests.lab.qemu import qemu_command
from tests.lab.roots import kernel_release

BOOT_TIMEOUT_S: Final = 180.0
BOOTS: Final = 2
RUN_TIMEOUT_S: Final = 1800.0
_POWER_OFF_TIMEOUT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.25

STOPPING: Final = threading.Event()
"""Set to end everything that runs."""

_LOG: Final = "log"
_CONSOLE: Final = "console.log"
_ARCHIVE: Final = "project.tar"
_INITRAMFS: Final = "initramfs"

# The kernel's first process: it mounts what programs expect, runs the tests, and turns the machine off.
_START: Final = f"""\
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777,size=75% tmp /tmp
ln -sf /proc/self/fd /dev/fd
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
ip link set lo up
mkdir {PROJECT_IN_GUEST} && cd {PROJECT_IN_GUEST} && tar -xf {SHARED_IN_GUEST}/{_ARCHIVE} &&
setsid --wait {VENV_IN_GUEST}/bin/python -m tests.lab.inside {SHARED_IN_GUEST} {{arguments}} \\
  </dev/null >{SHARED_IN_GUEST}/{_LOG} 2>&1
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


def run_guest(
    guest: Guest, qemu: Path, arguments: Sequence[str], results: Path, *, kvm: bool, cpus: int
) -> str:
    """Boot it, and run `tests.lab.inside` in it.

    Args:
        guest: one whose disk is there.
        qemu: the program.
        arguments: for `tests.lab.inside`, after the directory.
        results: the directory where it leaves what it finds; emptied first.
        kvm: whether to use KVM.
        cpus: how many there are.

    Returns:
        Why there is no report to trust, or "".
    """
    _make_empty(results)
    pack_project(guest, results / _ARCHIVE)
    (results / START).write_text(_START.format(arguments=shlex.join(arguments)))
    (results / _INITRAMFS).write_bytes(make_initramfs(guest.root, guest.kernel, kernel_release(guest.kernel)))
    console = results / _CONSOLE
    command = qemu_command(qemu, guest, results / _INITRAMFS, results, console, kvm=kvm, cpus=cpus)
    problem = ""
    for boot in range(BOOTS):
        again = " once more" if boot else ""
        print(f"{guest.name}: booting{again}, the CPU {'real' if kvm else 'emulated'}", flush=True)
        with _started(command, results / "qemu.log", os.environ) as running:
            problem = _follow(running, results, guest.name)
        if (results / _LOG).exists():
            break
    for name in (_ARCHIVE, _INITRAMFS, START):
        (results / name).unlink()
    return problem and f"{problem} (see {console.relative_to(PROJECT)})"


def run_host(criu: Path, arguments: Sequence[str], results: Path) -> str:
    """The same on the machine's own kernel, with the CRIU in a directory."""
    _make_empty(results)
    command = [sys.executable, "-m", "tests.lab.inside", str(results), *arguments]
    environment = os.environ | {"PATH": f"{criu}:{os.environ['PATH']}"}
    with _started(command, results / _LOG, environment) as running:
        return _follow(running, results, HOST)


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


@contextmanager
def _started(
    command: Sequence[str], output: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, all of which is ended with the block."""
    with (
        output.open("wb") as written,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=PROJECT,
            env=environment,
        ) as running,
    ):
        try:
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def _follow(process: subprocess.Popen[bytes], results: Path, name: str) -> str:
    """Show the log as it grows until all has ended; what is wrong with how it did, or ""."""
    log = results / _LOG
    began_s = time.monotonic()
    done_s = 0.0
    shown = 0
    while True:
        now_s = time.monotonic()
        ended = process.poll() is not None
        if not done_s and (results / EXIT_CODE).exists():
            done_s = now_s
        # A guest that is done has nothing more to say, whether or not it turns itself off.
        over = ended or (done_s and now_s > done_s + _POWER_OFF_TIMEOUT_S)
        if log.exists():
            shown = _show(log, shown, name, all_of_it=bool(over))
        if over:
            return "" if log.exists() else f"it did not boot (QEMU ended with {process.returncode})"
        if not log.exists() and now_s > began_s + BOOT_TIMEOUT_S:
            return f"it did not boot within {BOOT_TIMEOUT_S:.0f} s"
        if STOPPING.is_set():
            return "it was ended"
        if now_s > began_s + RUN_TIMEOUT_S:
            return f"it was not done after {RUN_TIMEOUT_S:.0f} s"
        time.sleep(_LOOK_EVERY_S)


def _show(log: Path, shown: int, name: str, *, all_of_it: bool) -> int:
    text = log.read_bytes()
    end = len(text) if all_of_it else text.rfind(b"\n") + 1
    for line in text[shown:end].decode(errors="replace").splitlines():
        print(f"{name} | {line}", flush=True)
    return max(shown, end)
