"""Targets written in C, where every write and every system call is one that is meant."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCES = Path(__file__).parent


def compiled(name: str, directory: Path) -> Path:
    """The program of `tests/targets/NAME.c`, built; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    program = directory / name
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Werror", "-o", program, _SOURCES / f"{name}.c", "-pthread"], check=True
    )
    return program
