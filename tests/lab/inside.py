"""Runs the tests on the kernel it stands on, and leaves a report and facts about that kernel.

In a guest it is all that runs; on the host it runs as it is.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.tracking.probe import TrackerSupport, probe
from tests.lab.places import TEST_DIRECTORIES

REPORT: Final = "junit.xml"
FACTS: Final = "facts.json"
EXIT_CODE: Final = "exit-code"

NO_CRIU: Final = "none"
"""Stands for its version where it does not start; each kernel of the lab has one."""

_TEST_TIMEOUT_S: Final = 900
"""Far beyond any test, even where the CPU is emulated: only what hangs runs into it."""


def run_tests(results: Path, arguments: Sequence[str]) -> None:
    """Run pytest; what remains of it is in `results`, the exit code last."""
    (results / FACTS).write_text(json.dumps(facts(), indent=1))
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-n",
            str(os.cpu_count() or 1),
            "--color=no",
            "-p",
            "no:cacheprovider",
        ),
        *(f"--junitxml={results / REPORT}", "-o", "junit_family=xunit2"),
        *(f"--timeout={_TEST_TIMEOUT_S}", "--hypothesis-profile=ci"),
        *(() if _names_tests(arguments) else TEST_DIRECTORIES),
        *arguments,
    ]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([*command, f"--basetemp={scratch}/pytest"], stdin=subprocess.DEVNULL)
    (results / EXIT_CODE).write_text(str(done.returncode))


def _names_tests(arguments: Sequence[str]) -> bool:
    return any(Path(argument.partition("::")[0]).exists() for argument in arguments)


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
    run_tests(Path(sys.argv[1]), sys.argv[2:])
