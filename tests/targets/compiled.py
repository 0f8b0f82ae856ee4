"""Targets written in C: for what a Python program cannot do to itself, or does besides."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

import pytest

from tests.home import own_directory
from tests.targets.speaking import SpeakingTarget

TARGETS: Final = Path(__file__).parent
PREBUILT: Final = TARGETS / "prebuilt"
"""Programs compiled beforehand, for machines without a compiler; not in the repository."""
_COMPILER_OPTIONS: Final = ("-O1", "-Wall", "-pthread", "-Wl,-z,now")
"""Functions are bound as it starts: the loader takes memory of whichever thread is the first to call one."""
_SHARED_OBJECTS: Final = frozenset({"failing_writes"})
"""Those that are loaded into other programs."""


def compiler_options(name: str) -> tuple[str, ...]:
    """How `tests/targets/NAME.c` is compiled."""
    return (*_COMPILER_OPTIONS, "-shared", "-fPIC") if name in _SHARED_OBJECTS else _COMPILER_OPTIONS


@lru_cache
def compiled(name: str) -> Path:
    """The program made of `tests/targets/NAME.c`, once in a run; the test skips without a compiler."""
    if (PREBUILT / name).exists():
        return PREBUILT / name
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = own_directory("target") / name
    subprocess.run([compiler, *compiler_options(name), "-o", program, TARGETS / f"{name}.c"], check=True)
    return program


class CompiledTarget(SpeakingTarget):
    """A running one."""

    def __init__(self, name: str, *arguments: str) -> None:
        super().__init__([compiled(name), *arguments])
