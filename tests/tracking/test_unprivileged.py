"""Without root: one's own processes are tracked and saved, other people's refused with a hint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.tracking.sample import TrackerKind
from tests.targets.scripted import ScriptedTarget

NOBODY = 65534

SCRIPT = """
import json, sys
from pathlib import Path
from engine.checkpoint.memory import MemoryChain
from engine.errors import DirtytopError
from engine.images.chain import read_chain, verify
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

kind, directory, stranger = TrackerKind(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with ScriptedTarget() as target, Session(target.pid, kind) as session:
    session.set_mode(RateMode.REARMING)
    session.arm()
    session.tick()
    target.fill(range(70))
    sample = session.tick()
    row = sample.processes[0].maps.index_at(int(target.region.starts[0]))
    chain = MemoryChain(session, directory)
    chain.pre_dump()
    chain.dump()
    written = int(sample.processes[0].written_pages[row])
    problems = [problem.text for problem in verify(read_chain(directory))]
try:
    with Session(stranger, kind) as session:
        session.arm()
    refused = None
except DirtytopError as error:
    refused = [type(error).__name__, error.message, error.hint, error.exit_code]
print(json.dumps({"written": written, "problems": problems, "refused": refused}))
"""


@cache
def look_as_nobody(kind: TrackerKind) -> dict[str, Any]:
    """What a user without privileges gets to see of a process of his own, and of one of root's."""
    with ScriptedTarget() as stranger, tempfile.TemporaryDirectory(prefix="dirtytop-test-") as name:
        os.chown(name, NOBODY, NOBODY)
        # The interpreter may lie where nobody can read; that one capability lets it be run all the same.
        become = [
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
            "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
        ]  # fmt: skip
        done = subprocess.run(
            [*become, sys.executable, "-c", SCRIPT, kind.value, str(Path(name) / "chain"), str(stranger.pid)],
            check=False,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def seen_by_nobody(kind: TrackerKind) -> dict[str, Any]:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root, to become somebody else, and setpriv")
    return look_as_nobody(kind)


def test_ones_own_processes_are_tracked_and_saved(seen_by_nobody: dict[str, Any]) -> None:
    assert seen_by_nobody["written"] == 70
    assert seen_by_nobody["problems"] == []


def test_other_peoples_are_refused_with_a_hint(seen_by_nobody: dict[str, Any]) -> None:
    kind, message, hint, exit_code = seen_by_nobody["refused"]
    assert (kind, exit_code) == ("NotPermitted", 3)
    assert "not permitted" in message
    assert "root" in hint
