"""Packs the project for a guest: one file, already compiled, since compiling is slow in a guest."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Final

from tests.lab.commands import run
from tests.lab.places import PROJECT, PROJECT_IN_GUEST, TESTS, VENV_IN_GUEST, Guest
from tests.targets.compiled import PREBUILT, TARGETS, compiler_options

_NEEDED_INSIDE: Final = ("engine", "widgets", "tui", "tests", "pyproject.toml")
_COMPILE_TIMEOUT_S: Final = 120.0

_compiling = threading.Lock()
"""Two guests may share a root for this."""

# Only what pytest compiles when it collects has its assertions rewritten.
_COMPILE: Final = f"""\
cd {PROJECT_IN_GUEST} && {VENV_IN_GUEST}/bin/python -m compileall -q engine widgets tui tests
{VENV_IN_GUEST}/bin/python -m pytest -q -p no:cacheprovider --collect-only {" ".join(TESTS)}"""


def pack_project(guest: Guest, archive: Path) -> None:
    """Write what a guest needs of it into an uncompressed archive."""
    if os.geteuid() != 0:
        _write(PROJECT, archive, with_compiled=False)
    else:
        with _compiling:
            _write_compiled(guest.compiler.root, archive)
    _add_targets(guest.architecture.c_compiler, archive)


def _add_targets(compiler: str, archive: Path) -> None:
    """Compile the targets that are written in C: a guest has no compiler."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive, "a") as packed:
        for source in sorted(TARGETS.glob("*.c")):
            program = Path(name) / source.stem
            options = compiler_options(source.stem)
            run([compiler, *options, "-o", program, source], f"compiling {source.name}", timeout_s=60)
            packed.add(program, PREBUILT.relative_to(PROJECT) / source.stem)


def _write_compiled(root: Path, archive: Path) -> None:
    copy = root / PROJECT_IN_GUEST.lstrip("/")
    shutil.rmtree(copy, ignore_errors=True)
    for name in _NEEDED_INSIDE:
        source, target = PROJECT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    # What does not compile or collect is told by the guest, where the tests run.
    subprocess.run(
        ["chroot", root, "sh", "-c", _COMPILE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_COMPILE_TIMEOUT_S,
    )
    _write(copy, archive, with_compiled=True)
    shutil.rmtree(copy)


def _write(project: Path, archive: Path, *, with_compiled: bool) -> None:
    def chosen(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return member if with_compiled or not member.name.endswith("__pycache__") else None

    with tarfile.open(archive, "w") as packed:
        for name in _NEEDED_INSIDE:
            packed.add(project / name, name, filter=chosen)
