"""CRIU's own tool reads every image that a real chain of ours holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.images.layout import is_image, is_pages
from engine.kernel.libc import MACHINE
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(not shutil.which("crit"), reason="crit of Debian's criu package is not here")


PE_PRESENT = 4


def decode(path: Path) -> dict[str, Any]:
    # crit belongs to the system's Python, not to our environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        ["crit", "decode", "-i", str(path)], check=True, capture_output=True, env=environment
    )  # fmt: skip
    decoded: dict[str, Any] = json.loads(done.stdout)
    return decoded


def test_crit_decodes_every_image_of_a_chain(
    kind: TrackerKind, target: ScriptedTarget, chain_directory: Path
) -> None:
    target.start_threads(2)
    child = target.fork()
    with Session(target.pid, kind) as session:
        chain = MemoryChain(session, chain_directory)
        chain.pre_dump()
        target.fill(range(5))
        dump = chain.dump()
    images = {
        path.name: decode(path)
        for link in chain.links
        for path in link.path.iterdir()
        if is_image(path.name) and not is_pages(path.name)
    }
    processes = {entry["pid"]: entry for entry in images["pstree.img"]["entries"]}
    assert set(processes) == {target.pid, child}
    assert processes[child]["ppid"] == target.pid
    assert len(processes[target.pid]["threads"]) == 3
    pages = sum(
        entry["nr_pages"]
        for pid in (target.pid, child)
        for entry in images[f"pagemap-{pid}.img"]["entries"][1:]
        if entry["flags"] & PE_PRESENT
    )
    assert pages == dump.pages_written
    if MACHINE == "x86_64":
        core = images[f"core-{target.pid}.img"]["entries"][0]
        assert int(str(core["thread_info"]["gpregs"]["ip"]), 0) > 0
        assert core["tc"]["comm"].startswith("python")
    vmas = images[f"mm-{target.pid}.img"]["entries"][0]["vmas"]
    assert any(int(str(vma["start"]), 0) <= target.base < int(str(vma["end"]), 0) for vma in vmas)
    os.kill(child, signal.SIGKILL)
