"""Without root: a core of one's own process, without its shared memory."""

from __future__ import annotations

from tests.targets.nobody import require_nobody, run_as_nobody

SCRIPT = """
import json, sys
from pathlib import Path
from engine.core.live import make_live_cores
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.core.reading import ElfCore
from tests.targets.scripted import ScriptedTarget

directory = Path(sys.argv[1])
directory.mkdir(mode=0o700)
with ScriptedTarget() as target, Session(target.pid) as session, open_directory(directory) as above:
    shared = target.map(4, shared=True)
    target.fill(range(4), shared)
    made = make_live_cores(session, above, "core", lambda stage, done, total: None, lambda: False)
    (core,) = made.cores
    saved = ElfCore(core.path).saved()
    print(json.dumps({
        "first": saved[target.base][0],
        "shared": shared in saved,
        "remarks": core.made.process.remarks,
        "left": sorted(path.name for path in directory.iterdir()),
    }))
"""


def test_ones_own_process_gets_a_core_that_says_what_it_lacks() -> None:
    require_nobody()
    found = run_as_nobody(SCRIPT)
    assert found["first"] == 1
    assert not found["shared"]
    (remark,) = found["remarks"]
    assert remark.startswith("without 16 KiB of shared memory")
    assert found["left"] == ["core"]
