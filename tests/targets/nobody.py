"""Running a script of ours as a user without privileges."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import pytest

from engine.capabilities import Capability

NOBODY: Final = 65534


def require_nobody() -> None:
    """Skip the test where we cannot become another user."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root, to become somebody else, and setpriv")


def run_as_nobody(script: str, *arguments: str, kept: Collection[Capability] = ()) -> dict[str, Any]:
    """What the script prints, as JSON.

    Args:
        script: Python. Its first argument is a path to which it may write a directory.
        arguments: the further ones.
        kept: capabilities that it keeps. One it always has: the interpreter may lie where nobody can read.
    """
    wanted = ",".join(f"+{each.name.lower()}" for each in {*kept, Capability.DAC_READ_SEARCH})
    become = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        f"--inh-caps=-all,{wanted}", f"--ambient-caps=-all,{wanted}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="dirtytop-test-") as name:
        os.chown(name, NOBODY, NOBODY)
        done = subprocess.run(
            [*become, sys.executable, "-c", script, str(Path(name) / "chain"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
