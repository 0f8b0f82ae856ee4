"""Runs the tests, or a part of the bench, on the kernel it runs on, and leaves their results.

In a guest it is the only program; on the host it is an ordinary one.
"""

from __future__ import annotations

import ctypes
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.tracking.probe import TrackerSupport, probe
from tests.lab.places import INDEPENDENT, TESTS

REPORT: Final = "junit.xml"
FACTS: Final = "facts.json"
EXIT_CODE: Final = "exit-code"

NO_CRIU: Final = "none"
"""Stands for its version where it does not start; each kernel of the lab has one."""

_BENCH: Final = "bench"

_TEST_TIMEOUT_S: Final = 900
"""Far beyond any test, even where the CPU is emulated: only what hangs runs into it."""

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_SOFTWARE: Final = 1
_DUMMY: Final = 9


class _PerfEvent(ctypes.Structure):
    """The beginning of `perf_event_attr` (include/uapi/linux/perf_event.h), and nothing in the rest."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 6),
    )


def arguments_for_tests(
    workers: int,
    pytest_arguments: Sequence[str],
    batch: int | None,
    *,
    share: int | None = None,
    all_of: Sequence[str] = (),
) -> Sequence[str]:
    """What this program is to be told, after the directory of results, to run the tests.

    Args:
        workers: in how many processes; pytest's own is enough for one.
        pytest_arguments: what to run, if not everything.
        batch: which batch of tests that come in batches to run, if not all of them.
        share: of a batch, which share of the test functions to run, if not all of them.
        all_of: directories of tests of which all batches are run nevertheless.
    """
    arguments = [str(workers), *pytest_arguments]
    if batch is not None:
        arguments += ["-p", "tests.lab.batches", f"--batch={batch}", *(f"--all-of={name}" for name in all_of)]
        if share is not None:
            arguments.append(f"--share={share}")
    return arguments


def arguments_for_bench(parts: Sequence[str]) -> Sequence[str]:
    """The same, to measure some parts of `tests.bench`."""
    return [_BENCH, *parts]


def run_bench(results: Path, parts: Sequence[str]) -> None:
    """Measure; `bench.json` is left in `results`, and the exit code last."""
    _keep_context_switch_hooks()
    _leave(results, subprocess.run([sys.executable, "-m", "tests.bench", *parts], cwd=results))


def run_tests(results: Path, workers: int, arguments: Sequence[str]) -> None:
    """Run pytest; what remains of it is in `results`, the exit code last.

    Args:
        results: where.
        workers: in how many processes; pytest's own is enough for one.
        arguments: what to run, if not everything.
    """
    (results / FACTS).write_text(json.dumps(facts(), indent=1))
    command = [
        *(sys.executable, "-m", "pytest", "--color=no", "-p", "no:cacheprovider"),
        *(("-n", str(workers), "--dist=worksteal") if workers > 1 else ()),
        *(f"--junitxml={results / REPORT}", "-o", "junit_family=xunit2"),
        *(f"--timeout={_TEST_TIMEOUT_S}", "--hypothesis-profile=ci"),
        # A guest's files are in its memory: images of tests that passed would fill it.
        *("-o", "tmp_path_retention_policy=failed"),
        *chosen_tests(arguments),
        *arguments,
    ]
    _keep_context_switch_hooks()
    with tempfile.TemporaryDirectory() as scratch:
        _leave(results, subprocess.run([*command, f"--basetemp={scratch}/pytest"], stdin=subprocess.DEVNULL))


def _leave(results: Path, done: subprocess.CompletedProcess[bytes]) -> None:
    unfinished = results / f"{EXIT_CODE}.partial"
    unfinished.write_text(str(done.returncode))
    unfinished.rename(results / EXIT_CODE)


def _keep_context_switch_hooks() -> None:
    """Have the kernel count something of ours until the end.

    The first thing counted for any task, and CRIU's breakpoints are such things, makes the kernel patch
    its own scheduler, and the last one patch it back. QEMU, where it emulates two CPUs, now and then
    runs half of such a patch, and the guest panics.
    """
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is not None:
        dummy = _PerfEvent(type=_SOFTWARE, size=ctypes.sizeof(_PerfEvent), config=_DUMMY)
        # Where it is refused there is no emulated kernel of ours. The descriptor goes when we do.
        ctypes.CDLL(None).syscall(number, ctypes.byref(dummy), 0, -1, -1, 0)


def chosen_tests(arguments: Sequence[str]) -> list[str]:
    """What pytest is to be told besides: all the tests if none are named, and never those that need no lab.

    A file of those that is named itself is run.
    """
    files = [argument.partition("::")[0] for argument in arguments]
    left_out = [f"--ignore={path}" for path in INDEPENDENT if path not in files]
    return left_out if any(Path(file).exists() for file in files) else [*TESTS, *left_out]


def facts() -> dict[str, str]:
    """What this kernel and its userland are, in words for a table."""
    support = probe()
    return {
        "Kernel": _kernel_version(),
        "CRIU": _criu_version(),
        "Python": platform.python_version(),
        "soft-dirty": _words(support.soft_dirty),
        "`PAGEMAP_SCAN`": _words(support.pagemap_scan),
        "write-protect": _words(support.write_protect),
    }


def _words(support: TrackerSupport) -> str:
    return "yes" if support.works else f"no: {support.reason}"


def _kernel_version() -> str:
    packaged = re.search(r"Debian (\S+)", platform.version())
    if packaged:
        return f"Debian {packaged[1]}"
    numbers = re.match(r"[0-9.]+", platform.release())
    return f"Linux {numbers[0] if numbers else platform.release()}"


def _criu_version() -> str:
    """The version of the `criu` in PATH; `NO_CRIU` if there is none, or it does not start."""
    try:
        said = subprocess.run(["criu", "--version"], capture_output=True, text=True, timeout=60)
    except OSError:
        return NO_CRIU
    version = re.search(r"Version: (\S+)", said.stdout)
    return version[1] if said.returncode == 0 and version else NO_CRIU


if __name__ == "__main__":
    if sys.argv[2] == _BENCH:
        run_bench(Path(sys.argv[1]), sys.argv[3:])
    else:
        run_tests(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
