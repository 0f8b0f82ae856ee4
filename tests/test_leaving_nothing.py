"""Whoever runs the tests finds everything as it was before: home, temporary files, checkout, processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.places import PROJECT
from tui.settings import checkpoints_path, settings_path

SOME = (
    "tests/tui/test_signals.py::test_the_settings_survive_it",  # opens the dashboard
    "tests/cli/test_usage.py::test_doctor_says_what_works",  # starts the program
    "tests/tracking/test_joining.py::TestStorm",  # compiles a target
    "tests/spliced/test_sharing.py",  # writes images, and restores where it can
    "tests/images/test_areas.py",
)
"""One of each kind of thing that could be left."""
IGNORED = ("__pycache__", ".hypothesis")
"""By git, in a checkout."""
WRONG = "theme = 'of the user'\ninterval = 'never'\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's, with settings that no test could do with."""
    settings = tmp_path / "home" / ".config" / "dirtytop" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(WRONG)
    return tmp_path / "home"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout in which nothing was run so far."""
    clone = tmp_path / "clone"
    for name in ("engine", "tui", "widgets", "tests"):
        shutil.copytree(PROJECT / name, clone / name, ignore=shutil.ignore_patterns(*IGNORED))
    shutil.copy2(PROJECT / "pyproject.toml", clone)
    return clone


def everything_in(directory: Path) -> dict[str, tuple[int, int]]:
    """Each file, and when it was changed, but for what git ignores."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in directory.rglob("*")
        if not path.is_dir() and not set(IGNORED) & set(path.parts)
    }


def living_with(setting: str) -> list[str]:
    """The processes that were started in an environment that has this."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if setting.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended, or is not ours to ask
            continue
    return found


@pytest.mark.parametrize("place", [settings_path, checkpoints_path])
def test_settings_and_state_are_kept_in_a_place_of_the_tests_own(place: Callable[[], Path]) -> None:
    assert any(part.startswith("dirtytop-home-") for part in place().parts)


@pytest.mark.timeout(600)
def test_the_tests_read_nobodys_settings_and_leave_nothing(home: Path, clone: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    before = everything_in(home) | everything_in(clone)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SOME]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'base'}"],
        cwd=clone, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert os.listdir(temporary) == []
    assert living_with(f"TMPDIR={temporary}") == []
    assert everything_in(home) | everything_in(clone) == before
