"""Targets that are spoken with: each says a line when it is ready, and answers each line with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self


class SpeakingTarget:
    """A running program, which is killed at the end of the block."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.said = self.hear()
        """The line said when it was ready."""

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, question: str = "") -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class ScriptTarget(SpeakingTarget):
    """A few lines of Python, which say "ready" first of all."""

    def __init__(self, script: str) -> None:
        super().__init__([sys.executable, "-I", "-S", "-c", script])
