"""Boot a guest, or take the host as it is; run the tests there and follow them to their end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab.inside import EXIT_CODE
from tests.lab.places import HOST, PROJECT, Guest, results_directory
from tests.lab.provision import (
    PROJECT_IN_GUEST,
    SHARED_IN_GUEST,
    VENV_IN_GUEST,
    provide_host_criu,
    provide_image,
    provide_virtme,
)
from tests.lab.roots import kernel_release

BOOT_TIMEOUT_S: Final = 300.0
RUN_TIMEOUT_S: Final = 2400.0
END_TIMEOUT_S: Final = 30.0
"""How long a guest may take to power off once its tests have reported."""

_BOOT_ATTEMPTS: Final = 2
_LOOK_EVERY_S: Final = 0.5

_LOG: Final = "log"
_CONSOLE: Final = "console.log"

# A CPU that QEMU computes has nothing to mitigate, and each mitigation costs a round of its work; so
# does a fifth level of page tables. QEMU 7.2 computes AVX2 wrong: NumPy's argsort does not sort with it.
_EMULATED: Final = ("--disable-kvm", "--append", "mitigations=off", "--qemu-opts=-cpu max,-avx2,-la57")

_NEEDED_INSIDE: Final = ("engine", "tests", "pyproject.toml")

_START: Final = f"""\
mount -t tmpfs -o mode=1777,size=75% tmpfs /tmp
cp -r /{SHARED_IN_GUEST}/project {PROJECT_IN_GUEST} && cd {PROJECT_IN_GUEST} || exit
HOME=/tmp exec /{VENV_IN_GUEST}/bin/python -m tests.lab.inside /{SHARED_IN_GUEST}"""


def has_kvm() -> bool:
    """Whether KVM works: QEMU starts a machine with it. That /dev/kvm can be opened does not say so."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    machine = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio"]
    try:
        tried = subprocess.run(
            [*machine, "-machine", "q35", "-accel", "kvm", "-cpu", "host"],
            input=b"quit\n",
            capture_output=True,
            timeout=20,
        )
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


def run_guest(guest: Guest, pytest_arguments: Sequence[str], *, kvm: bool) -> str:
    """Boot it, run the tests, leave the report in `results_directory`.

    Returns:
        Why there is no report to trust, or "".

    Raises:
        LabError: what it needs could not be made.
    """
    vng, image = provide_virtme(), provide_image(guest)
    kernel = guest.directory / "kernel"
    results = results_directory(guest.name)
    arguments = [*pytest_arguments, *(() if kvm else ("-p", "tests.lab.first_batches"))]
    command = [
        *(str(vng), "--force-9p", "--verbose", "--name", guest.name, "--memory", "3G", "--cpus", "2"),
        *("--run", str(kernel / f"boot/vmlinuz-{kernel_release(kernel)}")),
        *("--root-disk", str(image), "--root-fstype", "ext4"),
        *("--rwdir", f"/{SHARED_IN_GUEST}={results}"),
        *(() if kvm else _EMULATED),
        *("--exec", f"({_START} {shlex.join(arguments)}) >/{SHARED_IN_GUEST}/{_LOG} 2>&1"),
    ]
    console = results / _CONSOLE
    for attempt in range(1, _BOOT_ATTEMPTS + 1):
        _copy_project(_fresh_results(guest.name) / "project")
        problem = _run(command, guest.name, results / _LOG, console, {"PATH": _path_with(vng.parent)})
        if (results / _LOG).exists() or attempt == _BOOT_ATTEMPTS:
            break
        print(f"{guest.name}: {problem}: once more", flush=True)
    shutil.rmtree(results / "project")
    return problem and f"{problem} (see {console.relative_to(PROJECT)})"


def run_host(pytest_arguments: Sequence[str]) -> str:
    """Run the tests on the machine's own kernel, with Debian 13's CRIU; see `run_guest`."""
    criu = provide_host_criu()
    results = _fresh_results(HOST)
    log = results / _LOG
    command = [sys.executable, "-m", "tests.lab.inside", str(results), *pytest_arguments]
    return _run(command, HOST, log, log, {"PATH": _path_with(criu)})


def _path_with(directory: Path) -> str:
    return f"{directory}:{os.environ['PATH']}"


def _fresh_results(name: str) -> Path:
    results = results_directory(name)
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    return results


def _run(command: Sequence[str], name: str, log: Path, output: Path, environment: dict[str, str]) -> str:
    """Run to the end and show the log meanwhile; what is wrong with how it ended, or ""."""
    with (
        output.open("wb") as written,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=PROJECT,
            env=os.environ | environment,
        ) as running,
    ):
        try:
            return _follow(running, log, name)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def _copy_project(into: Path) -> None:
    into.mkdir()
    for name in _NEEDED_INSIDE:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, into / name)


def _follow(process: subprocess.Popen[bytes], log: Path, name: str) -> str:
    """Show the log as it grows until it ends; what is wrong with how it ended, or ""."""
    began_s = time.monotonic()
    reported_s: float | None = None
    shown = 0
    while True:
        if reported_s is None and (log.parent / EXIT_CODE).exists():
            reported_s = time.monotonic()
        # All that counts is written: a guest that does not power off is ended by us.
        lingers = reported_s is not None and time.monotonic() - reported_s > END_TIMEOUT_S
        ended = process.poll() is not None or lingers
        if log.exists():
            shown = _show(log, shown, name, all_of_it=ended)
        if ended:
            return "" if log.exists() else f"it did not boot (virtme-ng ended with {process.returncode})"
        waited_s = time.monotonic() - began_s
        if not log.exists() and waited_s > BOOT_TIMEOUT_S:
            return f"it did not boot within {BOOT_TIMEOUT_S:.0f} s"
        if waited_s > RUN_TIMEOUT_S:
            return f"it was not done after {RUN_TIMEOUT_S:.0f} s"
        time.sleep(_LOOK_EVERY_S)


def _show(log: Path, shown: int, name: str, *, all_of_it: bool) -> int:
    text = log.read_bytes()
    end = len(text) if all_of_it else text.rfind(b"\n") + 1
    for line in text[shown:end].decode(errors="replace").splitlines():
        print(f"{name} | {line}", flush=True, file=sys.stdout)
    return max(shown, end)
