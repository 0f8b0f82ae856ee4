"""Programs that stop themselves to be looked at, and what debuggers say of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import pytest

from engine.kernel.process import read_stat
from tests.targets.compiled import TARGETS

_COMPILERS = {".c": ("gcc", "cc"), ".cpp": ("g++", "c++")}
_LOADED = re.compile(r"^(warning|\[|Core was generated|Using host|Program terminated).*\n?", re.MULTILINE)


@lru_cache
def built(source: str, *, stripped: bool = False) -> Path:
    """`tests/targets/SOURCE` with all that a debugger wants, or with nothing; skips without a compiler."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS[Path(source).suffix])), None)
    if compiler is None:
        pytest.skip(f"no compiler for {source}")
    return _made_by([compiler, *(["-s", "-O1"] if stripped else ["-g", "-O0"]), "-pthread"], source)


@lru_cache
def built_by_go(source: str) -> Path:
    """The same of a program in Go; skips without its compiler."""
    compiler = shutil.which("go")
    if compiler is None:
        pytest.skip("no Go compiler")
    return _made_by([compiler, "build"], source)


def _made_by(command: Sequence[object], source: str) -> Path:
    program = Path(tempfile.mkdtemp(prefix="dirtytop-target-")) / Path(source).stem
    subprocess.run(list(map(str, [*command, "-o", program, TARGETS / source])), check=True)
    return program


class Stopped:
    """A program that has come to its SIGSTOP, in a session of its own and with nothing of ours open."""

    def __init__(self, *command: object) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # Whenever a thread goes on, even to be stopped again, the kernel would write there on which CPU.
            env=os.environ | {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.program = Path(str(command[0]))
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait_for_user_mode(self) -> None:
        """Until its first thread has been busy for some clock ticks, in no system call."""
        while read_stat(self.pid, self.pid).fields[11] in (b"0", b"1"):
            assert self.process.poll() is None
            os.sched_yield()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def gcore(target: Stopped, directory: Path) -> Path:
    """gdb's own core of it; skips without gdb."""
    program = shutil.which("gcore")
    if program is None:
        pytest.skip("no gdb")
    subprocess.run([program, "-o", directory / "gcore", str(target.pid)], check=True, capture_output=True)
    return directory / f"gcore.{target.pid}"


def gdb(core: Path, program: Path, *commands: str) -> str:
    """What gdb answers about a core, without what it says while it loads it; skips without gdb."""
    found = shutil.which("gdb")
    if found is None:
        pytest.skip("no gdb")
    return _LOADED.sub("", _said([found, "-batch", "-nx", *_each("-ex", commands), program, core]))


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _said(command: Sequence[object]) -> str:
    environment = {**os.environ, "DEBUGINFOD_URLS": "", "LC_ALL": "C"}
    done = subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True, env=environment, timeout=60
    )
    return done.stdout


def eu_stack(core: Path, program: Path) -> str:
    """What elfutils say of its threads; skips without them."""
    found = shutil.which("eu-stack")
    if found is None:
        pytest.skip("no eu-stack")
    return _said([found, "--core", core, "-e", program])
