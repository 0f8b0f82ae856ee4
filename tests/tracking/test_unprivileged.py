"""Without root: one's own processes are tracked and saved, other people's refused with a hint."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from engine.tracking.sample import TrackerKind
from tests.targets.nobody import require_nobody, run_as_nobody
from tests.targets.scripted import ScriptedTarget

SCRIPT = """
import json, sys
from pathlib import Path
from engine.checkpoint.memory import MemoryChain
from engine.errors import DirtytopError
from engine.images.chain import read_chain, verify
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

kind, directory, stranger = TrackerKind(sys.argv[2]), Path(sys.argv[1]), int(sys.argv[3])
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
    with ScriptedTarget() as stranger:
        return run_as_nobody(SCRIPT, kind.value, str(stranger.pid))


@pytest.fixture
def seen_by_nobody(kind: TrackerKind) -> dict[str, Any]:
    require_nobody()
    return look_as_nobody(kind)


def test_ones_own_processes_are_tracked_and_saved(seen_by_nobody: dict[str, Any]) -> None:
    assert seen_by_nobody["written"] == 70
    assert seen_by_nobody["problems"] == []


def test_other_peoples_are_refused_with_a_hint(seen_by_nobody: dict[str, Any]) -> None:
    kind, message, hint, exit_code = seen_by_nobody["refused"]
    assert (kind, exit_code) == ("NotPermitted", 3)
    assert "not permitted" in message
    assert "root" in hint
